/**
 * @file Keeps the journal's head in the blob store, a moment behind, and checks a journal by it.
 *
 * A stream alone cannot tell that its last records are gone: its server, started on an empty or cut
 * folder, knows of no others. So the farm's other store remembers how far the journal had come.
 */
import { FarmError } from "../../core/errors.js";
import type { CancelTimer, Clock } from "../../ports/clock.js";
import type { JournalHead } from "../../ports/journal.js";
import type { Log } from "../../ports/log.js";
import type { JournalBlobs } from "./journal-blobs.js";
import { type FarmNames, journalStream } from "./nats-names.js";

/** At most so often; the store has other things to do. */
const KEEP_MS = 250;

export class HeadWitness {
  readonly #blobs: JournalBlobs;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stream: string;
  /** What is in the store, the newest first. */
  #kept: readonly JournalHead[];
  #newest: JournalHead | null = null;
  #keeping: Promise<void> | null = null;
  #cancelTimer: CancelTimer | null = null;

  constructor(
    blobs: JournalBlobs,
    options: { readonly clock: Clock; readonly log: Log; readonly names: FarmNames },
    kept: readonly JournalHead[],
  ) {
    this.#blobs = blobs;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#stream = journalStream(options.names);
    this.#kept = kept;
  }

  /** @throws FarmError "wrong-state" when a record is not the one that was witnessed */
  check(head: JournalHead): void {
    const other = this.#kept.find(
      ({ number, hash }) => number === head.number && hash !== head.hash,
    );
    if (!other) return;
    const text = `record ${head.number} of the stream ${this.#stream} is not the one that was written`;
    throw new FarmError("wrong-state", `${text}; ${this.#wayOut()}`);
  }

  /** @throws FarmError "wrong-state" when records are missing after the last one */
  checkEnd(last: JournalHead): void {
    const newest = this.#kept[0];
    if (!newest || newest.number <= last.number) return;
    const text = `the stream ${this.#stream} ends with record ${last.number}, but ${newest.number} were written`;
    throw new FarmError("wrong-state", `${text}; ${this.#wayOut()}`);
  }

  /** Remembers a head soon. */
  note(head: JournalHead): void {
    this.#newest = head;
    if (this.#keeping !== null || this.#cancelTimer !== null) return;
    this.#cancelTimer = this.#clock.after(KEEP_MS, () => {
      this.#cancelTimer = null;
      this.#begin();
    });
  }

  /** Remembers the last head now. */
  async close(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    await this.#keeping;
    await this.#keep();
  }

  #begin(): void {
    this.#keeping = this.#keep().finally(() => {
      this.#keeping = null;
      if (this.#newest && this.#newest.number !== this.#kept[0]?.number) this.note(this.#newest);
    });
  }

  async #keep(): Promise<void> {
    const head = this.#newest;
    if (!head || head.number === 0 || head.number === this.#kept[0]?.number) return;
    try {
      await this.#blobs.keepHead(head);
      const older = this.#kept;
      this.#kept = [head];
      for (const other of older) await this.#blobs.dropHead(other);
    } catch (error) {
      this.#log.warn(`the journal's head is not witnessed: ${(error as Error).message}`);
    }
  }

  #wayOut(): string {
    const newest = this.#kept[0]?.number ?? 0;
    return `restore the NATS server's store from a copy that has record ${newest}, or, to give up what is lost, remove journal/*/heads/ from the blob store`;
  }
}
