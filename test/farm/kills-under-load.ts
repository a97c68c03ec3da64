/**
 * @file One process of a farm dies again and again while clients send jobs, and nothing that was
 * accepted is lost or doubled. Which process it is, and which farm, is the caller's.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { FarmClient } from "../../client/farm-client.js";
import type { JobView } from "../../shared/farm/job.js";
import type { FileHashes } from "./farm-harness.js";
import { drawn } from "./selection.js";

/** What is asked of a farm under load; each of it waits for as long as nobody answers. */
export interface LoadedFarm {
  /** Resolves when the job was accepted; the same request id is the same job. */
  submit(requestId: string): Promise<JobView>;
  end(jobId: string): Promise<JobView>;
  /** Every job that the farm knows of. */
  jobs(): Promise<readonly JobView[]>;
  /** Checks that a job's only clip was published once. */
  published(job: JobView): Promise<FileHashes>;
}

/** Every page of the list. */
export async function allJobs(client: FarmClient): Promise<readonly JobView[]> {
  const all: JobView[] = [];
  for (let token = ""; ; ) {
    const { jobs, nextToken } = await client.listJobs({ size: 500, token });
    all.push(...jobs);
    if (nextToken === "") return all;
    token = nextToken;
  }
}

/** The process that dies. */
export interface Victim {
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
  /** Resolves when it works again. */
  restart(): Promise<void>;
}

export interface Tally {
  readonly kills: number;
  readonly accepted: number;
}

const CLIENTS = 6;
/** Jobs accepted or ended between two kills: from one to so many. */
const NEWS_MAX = 3;
/** A kill comes this long after such news at most, so that it hits whatever follows. */
const AFTER_MS_MAX = 60;

/** Clients that each send a job, wait for its end, and send the next, until they are told to stop. */
class Clients {
  /** Job ids by request id. */
  readonly accepted = new Map<string, string>();
  /** As each job was when it ended. */
  readonly ended: JobView[] = [];
  /** Rejects when one of them fails; resolves when all have stopped. */
  readonly done: Promise<unknown>;
  readonly #farm: LoadedFarm;
  #isOver = false;
  #news = 0;
  #hear: () => void = () => {};

  constructor(farm: LoadedFarm) {
    this.#farm = farm;
    this.done = Promise.all(Array.from({ length: CLIENTS }, (_, i) => this.#run(i)));
    this.done.catch(() => {}); // whoever waits for news hears of it
  }

  stop(): Promise<unknown> {
    this.#isOver = true;
    return this.done;
  }

  /** Waits until so many jobs more were accepted or ended. */
  async news(count: number): Promise<void> {
    const wanted = this.#news + count;
    while (this.#news < wanted) {
      const heard = new Promise<void>((resolve) => {
        this.#hear = resolve;
      });
      await Promise.race([heard, this.done]);
    }
  }

  async #run(client: number): Promise<void> {
    for (let i = 0; !this.#isOver; i++) {
      const requestId = `under-load-${client}-${i}`;
      const { jobId } = await this.#farm.submit(requestId);
      this.accepted.set(requestId, jobId);
      this.#tell();
      this.ended.push(await this.#farm.end(jobId));
      this.#tell();
    }
  }

  #tell(): void {
    this.#news += 1;
    this.#hear();
  }
}

/**
 * Kills the victim so many times, then lets all jobs end.
 *
 * @param expected the files of every job, as of one that nothing happened to
 */
export async function killUnderLoad(
  farm: LoadedFarm,
  victim: Victim,
  count: number,
  expected: FileHashes,
): Promise<Tally> {
  const clients = new Clients(farm);
  for (let n = 0; n < count; n++) {
    await clients.news(1 + (drawn(2 * n) % NEWS_MAX));
    await sleep(drawn(2 * n + 1) % AFTER_MS_MAX); // where in what follows the fault hits
    await victim.kill();
    await victim.restart();
  }
  await clients.stop();
  await nothingIsLostOrDoubled(farm, clients, expected);
  // What was said is said by the next one, too.
  await victim.kill();
  await victim.restart();
  await nothingIsLostOrDoubled(farm, clients, expected);
  return { kills: count + 1, accepted: clients.accepted.size };
}

async function nothingIsLostOrDoubled(
  farm: LoadedFarm,
  { accepted, ended }: Clients,
  expected: FileHashes,
): Promise<void> {
  const jobIds = [...accepted.values()];
  expect(new Set(jobIds).size, "jobs for as many requests").toBe(accepted.size);
  const jobs = await farm.jobs();
  const byId = (all: readonly JobView[]) => new Map(all.map((job) => [job.jobId, job]));
  expect([...byId(jobs).keys()].sort()).toEqual([...jobIds].sort());
  expect(jobs.length, "each job once").toBe(accepted.size);
  expect(byId(jobs)).toEqual(byId(ended)); // an end is never taken back
  for (const job of jobs) expect(await farm.published(job)).toEqual(expected);
  for (const [requestId, jobId] of accepted) {
    expect((await farm.submit(requestId)).jobId).toBe(jobId);
  }
}
