/** @file How far a journal's stream was read: what was read is checked, and need not be read again. */
import { FarmError } from "../../core/errors.js";
import { JOURNAL_START, type JournalHead } from "../../ports/journal.js";
import { BatchReader } from "./jetstream-batch.js";
import type { JsMsg } from "./nats-client.js";

/** A record, and the head of the journal after it. */
export interface ReadRecord {
  readonly record: string;
  readonly head: JournalHead;
}

export class StreamReading {
  readonly #stream: string;
  readonly #reader: BatchReader;
  #sequence = 0;

  constructor(stream: string) {
    this.#stream = stream;
    this.#reader = new BatchReader(stream);
  }

  /** Number of the last message read; 0 before the first. */
  get sequence(): number {
    return this.#sequence;
  }

  /** The last record read; null before the first. */
  get head(): JournalHead | null {
    return this.#reader.head;
  }

  /** Whether the messages so far end within an append, which nobody was told is kept. */
  get hasUnfinished(): boolean {
    return this.#reader.hasUnfinished;
  }

  /** @throws FarmError "wrong-state" naming the message and what is wrong */
  take(message: JsMsg): readonly ReadRecord[] {
    const records = this.#reader.push(message);
    this.#sequence = message.seq;
    return records;
  }

  /** The messages up to here were removed, all of them by a snapshot. */
  passOver(sequence: number): void {
    this.#sequence = sequence;
  }

  /**
   * Of the stream's records those after a snapshot; all are looked at.
   *
   * @param from the snapshot's place, or the journal's start
   * @throws FarmError "wrong-state" when records after it are missing, or it is of another journal
   */
  async *after(from: JournalHead, records: AsyncIterable<ReadRecord>): AsyncGenerator<ReadRecord> {
    let isFirst = true;
    for await (const next of records) {
      if (isFirst) this.#refuseGap(from, next.head.number - 1);
      isFirst = false;
      if (next.head.number === from.number && next.head.hash !== from.hash) {
        throw this.#foreign(from);
      }
      if (next.head.number > from.number) yield next;
    }
  }

  /** @param before number of the record before the first one that is there */
  #refuseGap(from: JournalHead, before: number): void {
    if (before <= from.number) return;
    const why =
      from.number === JOURNAL_START.number
        ? "a snapshot has replaced the first records, and none can be used"
        : `the records from ${from.number + 1} to ${before} are missing`;
    throw new FarmError("wrong-state", `the stream ${this.#stream}: ${why}`);
  }

  #foreign({ number }: JournalHead): FarmError {
    const text = `the snapshot of record ${number} is not of the stream ${this.#stream}: the hash of that record differs`;
    return new FarmError("wrong-state", `${text}; remove it, or restore both from a copy`);
  }
}
