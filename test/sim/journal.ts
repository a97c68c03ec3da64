/**
 * @file The journal: records are lost, cut or kept with their answer lost, as a crash decides; and
 * snapshots, which are written piece by piece while records go on.
 */
import type { SimProcess } from "./process.js";
import type { Random } from "./random.js";
import type { Timeline } from "./timeline.js";

interface Waiting {
  readonly records: readonly string[];
  /** @param number how many records there are up to the last of these */
  readonly resolve: (number: number) => void;
}

export interface SimSnapshot {
  /** The record that it stands for, and all before. */
  readonly number: number;
  readonly lines: readonly string[];
  /** Bytes of it have changed, and its checksum says so. */
  rotten: boolean;
}

/** Few, so that the farm changes while a snapshot of it is written. */
const LINES_AT_ONCE = 4;
const SNAPSHOTS_KEPT = 2;

/** What becomes of the records of one write when the process ends in it. */
export type TornAt = "before" | "middle" | "after";

export class SimJournal {
  /** What survives a crash. */
  readonly records: string[] = [];
  /** Whole ones, the newest last. */
  readonly snapshots: SimSnapshot[] = [];
  /** Hears of every record once it would survive. */
  onKept: (record: string) => void = () => {};
  /** Asked at each write: how it is torn, and null when it is not. */
  tearing: () => TornAt | null = () => null;
  /** The process is to end now; its journal has been torn already. */
  onTorn: () => void = () => {};
  readonly #timeline: Timeline;
  readonly #random: Random;
  #waiting: Waiting[] = [];
  #writing: Waiting[] | null = null;
  /** Counts crashes: a write of an earlier process never ends. */
  #opened = 0;
  #slow = { untilMs: 0, delayMs: 0 };
  #holder: SimProcess | null = null;
  readonly #snapshotRandom: Random;

  constructor(timeline: Timeline, random: Random) {
    this.#timeline = timeline;
    this.#random = random;
    this.#snapshotRandom = random.split("snapshots");
  }

  /** False while a living process has it open. */
  open(process: SimProcess): boolean {
    if (this.#holder !== null && this.#holder !== process && this.#holder.alive) return false;
    this.#holder = process;
    return true;
  }

  /** Keeps a snapshot of what was appended before the call. */
  snapshot(lines: Iterable<string>, then: () => void): void {
    const opened = this.#opened;
    this.append([], (number) => {
      const taken: string[] = [];
      const rest = lines[Symbol.iterator]();
      const takeSome = () => {
        if (this.#opened !== opened) return;
        for (let i = 0; i < LINES_AT_ONCE; i++) {
          const { value, done } = rest.next();
          if (done) {
            this.snapshots.push({ number, lines: taken, rotten: false });
            if (this.snapshots.length > SNAPSHOTS_KEPT) this.snapshots.shift();
            then();
            return;
          }
          taken.push(value);
        }
        this.#timeline.after(this.#snapshotRandom.between(0.1, 20), takeSome);
      };
      takeSome();
    });
  }

  /** Appends that wait for the disk. */
  get waiting(): number {
    return this.#waiting.length + (this.#writing?.length ?? 0);
  }

  slow(durationMs: number, delayMs: number): void {
    this.#slow = { untilMs: this.#timeline.nowMs() + durationMs, delayMs };
  }

  append(records: readonly string[], resolve: (number: number) => void): void {
    this.#waiting.push({ records, resolve });
    if (this.#writing === null) this.#write();
  }

  /** The process ends: of the write under way any first part may have reached the disk. */
  crash(): void {
    const writing = this.#writing?.flatMap(({ records }) => records) ?? [];
    const kept = this.#random.integer(0, writing.length);
    this.#drop();
    for (const record of writing.slice(0, kept)) this.#keep(record);
  }

  #write(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    this.#writing = batch;
    const opened = this.#opened;
    const isSlow = this.#slow.untilMs > this.#timeline.nowMs();
    const delayMs = 0.2 + this.#random.unit() * (isSlow ? this.#slow.delayMs : 2);
    this.#timeline.after(delayMs, () => {
      if (this.#opened !== opened) return;
      const torn = this.tearing();
      if (torn === null) this.#finish(batch);
      else this.#tear(batch, torn);
    });
  }

  #finish(batch: readonly Waiting[]): void {
    const numbers = batch.map(({ records }) => {
      for (const record of records) this.#keep(record);
      return this.records.length;
    });
    this.#writing = null;
    const opened = this.#opened;
    for (const [i, { resolve }] of batch.entries()) {
      // An effect may end the process.
      if (this.#opened === opened) resolve(numbers[i]!);
    }
    if (this.#opened === opened && this.#waiting.length > 0 && this.#writing === null)
      this.#write();
  }

  #tear(batch: readonly Waiting[], torn: TornAt): void {
    const records = batch.flatMap((waiting) => waiting.records);
    const share = { before: 0, middle: this.#random.unit(), after: 1 }[torn];
    this.#drop();
    for (const record of records.slice(0, Math.floor(share * records.length))) this.#keep(record);
    this.onTorn();
  }

  #drop(): void {
    this.#opened += 1;
    this.#writing = null;
    this.#waiting = [];
  }

  #keep(record: string): void {
    this.records.push(record);
    this.onKept(record);
  }
}
