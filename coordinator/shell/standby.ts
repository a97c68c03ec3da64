/**
 * @file Follows the journal while another coordinator leads, so that who takes over has the farm
 * already and reads only what came last.
 *
 * Following is a help and no promise: where it fails it begins anew a moment later, and a takeover
 * that meets it in between reads the journal as any start does.
 */
import { asFarmError } from "../../shared/core/errors.js";
import type { Clock } from "../../shared/ports/clock.js";
import type { JournalTail } from "../../shared/ports/journal.js";
import type { Log } from "../../shared/ports/log.js";
import { emptyFarm } from "../plan/farm-state.js";
import { JobLogs } from "./job-logs.js";
import { newestUsable, type Recovered, replay } from "./recover.js";

/** How long after a failure following begins anew. */
const AGAIN_MS = 1_000;

/** What a standby made of the journal so far. */
export interface Followed<T extends JournalTail> extends Recovered {
  readonly tail: T;
}

export interface StandbyParts<T extends JournalTail> {
  readonly openTail: () => Promise<T>;
  readonly clock: Clock;
  readonly log: Log;
}

export class Standby<T extends JournalTail = JournalTail> {
  readonly #parts: StandbyParts<T>;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #followed: Followed<T> | null = null;
  /** Wakes who waits for the followed number of records. */
  #onRecord: () => void = () => {};

  /** Begins at once. */
  constructor(parts: StandbyParts<T>) {
    this.#parts = parts;
    this.#running = this.#run();
  }

  /** Resolves once so many records of the journal are in the farm. */
  async reached(number: number): Promise<void> {
    while ((this.#followed?.tail.head.number ?? 0) < number) {
      await new Promise<void>((resolve) => {
        this.#onRecord = resolve;
      });
    }
  }

  /** @returns null where nothing could be followed */
  async stop(): Promise<Followed<T> | null> {
    this.#stopping.abort();
    await this.#running;
    return this.#followed;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#parts;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#follow(signal);
      } catch (error) {
        this.#followed = null;
        log.warn(`the journal cannot be followed: ${asFarmError(error).detail}`);
      }
      if (!signal.aborted) await this.#pause(clock);
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { openTail, log } = this.#parts;
    const tail = await openTail();
    const begin = await newestUsable(tail, (reason) => {
      log.warn(`a snapshot cannot be used: ${reason}`);
    });
    const farm = begin?.farm ?? emptyFarm();
    const logs = new JobLogs();
    const first = begin?.snapshot.head.number ?? 0;
    let number = first;
    for await (const record of tail.follow(begin?.snapshot ?? null, signal)) {
      number += 1;
      replay({ farm, logs }, record, number);
      this.#followed = { farm, logs, tail, replayed: number - first };
      this.#onRecord();
    }
    // Without an end that was asked for, what comes next is not known.
    if (!signal.aborted) this.#followed = null;
  }

  #pause(clock: Clock): Promise<void> {
    return new Promise((resolve) => {
      const cancel = clock.after(AGAIN_MS, resolve);
      this.#stopping.signal.addEventListener("abort", () => {
        cancel();
        resolve();
      });
    });
  }
}
