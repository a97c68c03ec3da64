/** @file The journal: records are lost, cut or kept with their answer lost, as a crash decides. */
import type { Random } from "./random.js";
import type { Timeline } from "./timeline.js";

interface Waiting {
  readonly records: readonly string[];
  readonly resolve: () => void;
}

/** What becomes of the records of one write when the process ends in it. */
export type TornAt = "before" | "middle" | "after";

export class SimJournal {
  /** What survives a crash. */
  readonly records: string[] = [];
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

  constructor(timeline: Timeline, random: Random) {
    this.#timeline = timeline;
    this.#random = random;
  }

  /** Appends that wait for the disk. */
  get waiting(): number {
    return this.#waiting.length + (this.#writing?.length ?? 0);
  }

  slow(durationMs: number, delayMs: number): void {
    this.#slow = { untilMs: this.#timeline.nowMs() + durationMs, delayMs };
  }

  append(records: readonly string[], resolve: () => void): void {
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
    for (const { records } of batch) for (const record of records) this.#keep(record);
    this.#writing = null;
    const opened = this.#opened;
    for (const { resolve } of batch) {
      // An effect may end the process.
      if (this.#opened === opened) resolve();
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
