/**
 * @file Garbage in the blob store: blobs whose owner, a job, does not know them any more.
 *
 * A job owns its pictures, its latents file and everything under its id until it is swept or deleted.
 * What belongs to nobody is left by uploads that no job ever named, by nodes that wrote after the
 * sweep, and by a coordinator that died between the end of a job and its sweep. Young blobs are
 * spared: their job may be about to be created.
 */
import { FarmError } from "../../shared/core/errors.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import type { Farm } from "../plan/farm-state.js";
import { isFinishedFile } from "./sweep.js";

/** An upload that no job named by then never will be, unless it is claimed. */
const SPARED_MS = 3_600_000;

const INPUT_PATTERN = /^v1\/inputs\/(?:[a-z0-9-]{1,63}\/)?[a-z0-9]{26}$/;
const JOB_PATTERN = /^v1\/([a-z0-9]{26})\//;

export interface Garbage {
  readonly blobs: number;
  readonly bytes: number;
}

/** What is asked of the farm's loop. */
export interface JanitorLoop {
  readonly farm: Farm;
  /** Resolves once the journal has all that the farm in memory says. */
  settled(): Promise<void>;
  /** Milliseconds since 1970. */
  nowMs(): number;
}

export class Janitor {
  readonly #blobs: BlobStore;
  readonly #loop: JanitorLoop;
  /** How many calls are about to give each of these inputs to a job. */
  readonly #claimed = new Map<string, number>();
  readonly #going = new Set<string>();

  constructor(blobs: BlobStore, loop: JanitorLoop) {
    this.#blobs = blobs;
    this.#loop = loop;
  }

  /**
   * Spares inputs until the returned function is called: an old upload may be named by a job in the
   * very moment in which it would be removed.
   *
   * @throws FarmError "blob-missing" when one of them is being removed
   */
  claim(keys: readonly string[]): () => void {
    const gone = keys.find((key) => this.#going.has(key));
    if (gone !== undefined) {
      throw new FarmError("blob-missing", `${gone} is too old and has been removed; send it again`);
    }
    for (const key of keys) this.#claimed.set(key, (this.#claimed.get(key) ?? 0) + 1);
    return () => {
      for (const key of keys) {
        const others = this.#claimed.get(key)! - 1;
        if (others > 0) this.#claimed.set(key, others);
        else this.#claimed.delete(key);
      }
    };
  }

  /**
   * Finds what nobody owns and, unless it is a dry run, removes it.
   *
   * @throws FarmError "unreachable" when the store cannot be listed
   */
  async collect(options: { readonly dryRun: boolean }): Promise<Garbage> {
    const nowMs = this.#loop.nowMs();
    const orphans: { key: string; size: number }[] = [];
    const isOrphan = orphanTest(this.#loop.farm);
    for await (const { key, size, putAtMs } of this.#blobs.list("")) {
      // One from the future was put before the clock was set back.
      const isYoung = Math.abs(nowMs - putAtMs) < SPARED_MS;
      if (!isYoung && isOrphan(key)) orphans.push({ key, size });
    }
    // A job that is deleted in memory and not in the journal yet would be back after a crash.
    await this.#loop.settled();
    let count = 0;
    let bytes = 0;
    for (const { key, size } of orphans) {
      // A job may have come to own it meanwhile, or another round may be removing it.
      const isBusy = this.#claimed.has(key) || this.#going.has(key);
      if (isBusy || !orphanTest(this.#loop.farm)(key)) continue;
      if (!options.dryRun && !(await this.#remove(key))) continue;
      count += 1;
      bytes += size;
    }
    return { blobs: count, bytes };
  }

  async #remove(key: string): Promise<boolean> {
    this.#going.add(key);
    try {
      return await this.#blobs.remove(key);
    } finally {
      this.#going.delete(key);
    }
  }
}

/**
 * Whether nobody owns a blob of such a key, as the farm is at the call. Not true of keys that are not
 * of our making: nothing else is ours to remove.
 */
export function orphanTest(farm: Farm): (key: string) => boolean {
  let inputs: ReadonlySet<string> | null = null;
  return (key) => {
    if (INPUT_PATTERN.test(key)) {
      inputs ??= inputsOf(farm);
      return !inputs.has(key);
    }
    const jobId = JOB_PATTERN.exec(key)?.[1];
    if (jobId === undefined) return false;
    const job = farm.jobs.get(jobId);
    return job === undefined || (job.swept && !isFinishedFile(key));
  };
}

function inputsOf(farm: Farm): Set<string> {
  const keys = new Set<string>();
  for (const { images, parameters, branchLatents } of farm.jobs.values()) {
    for (const { key } of images) keys.add(key);
    if (parameters.latents) keys.add(parameters.latents.key);
    if (branchLatents) keys.add(branchLatents.key);
  }
  return keys;
}
