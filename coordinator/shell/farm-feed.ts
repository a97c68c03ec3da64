/**
 * @file What changed lately, for those who follow the whole farm: each change of a job has a number,
 * and who comes back with the last number it saw is told what changed since.
 */
import type { FarmLoop } from "./farm-loop.js";

/** Deleted jobs that are remembered; who was away for longer has to list the jobs anew. */
const DELETED_MAX = 1_000;

/** A job changed, or was deleted. */
export interface JobChange {
  readonly jobId: string;
  readonly number: number;
}

export class FarmFeed {
  /** Tells this run of the coordinator from others: numbers begin anew with each. */
  readonly runId: string;
  readonly #loop: FarmLoop;
  /** Number of the last change of each job, the latest changed last. */
  readonly #changed = new Map<string, number>();
  /** Number of the deletion of each job, the latest last. */
  readonly #deleted = new Map<string, number>();
  /** Owners of all jobs that there are, and of the deleted ones that are remembered. */
  readonly #owners = new Map<string, string>();
  readonly #listeners = new Set<(change: JobChange | null) => void>();
  readonly #unfollow: () => void;
  #number = 0;
  /** Deletions up to this one are forgotten. */
  #forgotten = 0;

  constructor(loop: FarmLoop, runId: string) {
    this.#loop = loop;
    this.runId = runId;
    for (const { jobId, owner } of loop.farm.jobs.values()) this.#owners.set(jobId, owner);
    this.#unfollow = loop.follow({
      stepped: (occurrences, changedJobIds) => {
        for (const jobId of changedJobIds) this.#change(jobId);
        for (const occurrence of occurrences) {
          if (occurrence.kind === "job-deleted") this.#delete(occurrence.jobId);
        }
        this.#tell(null);
      },
      progressed: (jobId) => this.#change(jobId),
    });
  }

  /** Number of the latest change; 0 before the first. */
  get number(): number {
    return this.#number;
  }

  /** Number of the last change of a job; 0 when it has not changed in this run. */
  numberOf(jobId: string): number {
    return this.#changed.get(jobId) ?? 0;
  }

  /** Whose job it is, or was; null for one that is long forgotten. */
  ownerOf(jobId: string): string | null {
    return this.#owners.get(jobId) ?? null;
  }

  /** Every change after a number, the earliest first; null when that is too long ago. */
  since(number: number): readonly JobChange[] | null {
    if (number < this.#forgotten || number > this.#number) return null;
    return [...this.#changed, ...this.#deleted]
      .map(([jobId, changed]) => ({ jobId, number: changed }))
      .filter((change) => change.number > number)
      .sort((a, b) => a.number - b.number);
  }

  /** Calls back after every change of a job, and with null after what may have changed a node. */
  listen(listener: (change: JobChange | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#unfollow();
    this.#listeners.clear();
  }

  #change(jobId: string): void {
    const job = this.#loop.farm.jobs.get(jobId);
    if (!job) return;
    this.#owners.set(jobId, job.owner);
    this.#number += 1;
    // Deleted first, so that the order of the map is that of the numbers.
    this.#changed.delete(jobId);
    this.#changed.set(jobId, this.#number);
    this.#tell({ jobId, number: this.#number });
  }

  #delete(jobId: string): void {
    if (this.#loop.farm.jobs.has(jobId)) return;
    this.#number += 1;
    this.#changed.delete(jobId);
    this.#deleted.set(jobId, this.#number);
    if (this.#deleted.size > DELETED_MAX) {
      const [oldest, number] = this.#deleted.entries().next().value!;
      this.#deleted.delete(oldest);
      this.#owners.delete(oldest);
      this.#forgotten = number;
    }
    this.#tell({ jobId, number: this.#number });
  }

  #tell(change: JobChange | null): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}
