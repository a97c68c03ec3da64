/**
 * @file Journal on a JetStream stream: one writer, fenced by the number of the last message.
 *
 * A publication that is not answered may have been kept or not. It is sent again under the same id
 * and the same expected last message, so the server keeps it once; a refusal is settled by reading
 * what stands in its place: ours, or another writer's, which deposes this one.
 *
 * While the stream is full or its server away, appends wait; `stalled` says so, and whoever admits
 * new work refuses it meanwhile. Waiting ends with the lease, or with `close`.
 */
import { assert } from "../../core/assert.js";
import { FarmError } from "../../core/errors.js";
import type { BlobStore } from "../../ports/blob-store.js";
import type { Clock } from "../../ports/clock.js";
import { JOURNAL_START, type Journal, type JournalHead } from "../../ports/journal.js";
import type { Log } from "../../ports/log.js";
import { HeadWitness } from "./head-witness.js";
import { encodeBatch } from "./jetstream-batch.js";
import { JetStreamLog, type StreamLimits } from "./jetstream-log.js";
import { JournalBlobs, type StreamPlace, type StreamSnapshot } from "./journal-blobs.js";
import type { NatsClient } from "./nats-client.js";
import type { NatsLease } from "./nats-lease.js";
import type { FarmNames } from "./nats-names.js";
import { type ReadRecord, StreamReading } from "./stream-reading.js";

export interface JetStreamJournalOptions {
  readonly client: NatsClient;
  readonly names: FarmNames;
  /** Where snapshots and witnesses of the head lie. */
  readonly blobs: BlobStore;
  /** Given back when the journal is closed. */
  readonly lease: NatsLease;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<StreamLimits>;
  /** How far this process has followed the stream; `readOn` goes on from there. */
  readonly followed?: StreamReading | null;
}

interface Waiting {
  /** Null: the place of a snapshot. */
  readonly records: readonly string[] | null;
  readonly resolve: (place: StreamPlace) => void;
  readonly reject: (error: unknown) => void;
}

/** Characters of records that are merged into one batch. */
const BATCH_LENGTH = 1_048_576;
/** Of a message: what its headers may take. */
const HEADER_BYTES = 4_096;

export class JetStreamJournal implements Journal {
  readonly #options: JetStreamJournalOptions;
  readonly #stream: JetStreamLog;
  readonly #blobs: JournalBlobs;
  readonly #witness: HeadWitness;
  readonly #waiting: Waiting[] = [];
  #place: StreamPlace = { head: JOURNAL_START, sequence: 0 };
  #hasRead = false;
  /** The newest snapshot that is known to be good; who followed the journal has looked at none. */
  #good: StreamPlace | "not looked at" | null = null;
  #flushing: Promise<void> | null = null;
  #snapshotting: Promise<unknown> | null = null;
  #broken: Error | null = null;
  #closed = false;

  private constructor(
    options: JetStreamJournalOptions,
    stream: JetStreamLog,
    blobs: JournalBlobs,
    witnessed: readonly JournalHead[],
  ) {
    this.#options = options;
    this.#stream = stream;
    this.#blobs = blobs;
    this.#witness = new HeadWitness(blobs, options, witnessed);
    options.lease.onLost = (reason) => {
      this.#broken ??= new FarmError("unreachable", reason);
      stream.giveUp(this.#broken);
    };
  }

  /**
   * Opens the journal of a farm, making its stream where the farm is new.
   *
   * @throws FarmError "wrong-state" when the stream is missing although the blob store knows of
   *   records, or has other settings; "unreachable"
   */
  static async open(options: JetStreamJournalOptions): Promise<JetStreamJournal> {
    const { blobs, names } = options;
    const kept = new JournalBlobs(blobs, names.farm);
    const witnessed = await kept.heads();
    const stream = await JetStreamLog.open({ ...options, isNew: witnessed.length === 0 });
    return new JetStreamJournal(options, stream, kept, witnessed);
  }

  snapshots(): Promise<readonly StreamSnapshot[]> {
    return this.#blobs.snapshots();
  }

  async *read(after: StreamSnapshot | null): AsyncGenerator<string, void> {
    assert(!this.#hasRead, "a journal to be read once, before its first append");
    const from = after?.head ?? JOURNAL_START;
    yield* this.#readFrom(from, new StreamReading(this.#stream.name));
    this.#good = after && { head: after.head, sequence: after.sequence };
  }

  async *readOn(): AsyncGenerator<string, void> {
    assert(!this.#hasRead, "a journal to be read once, before its first append");
    const { followed } = this.#options;
    assert(followed?.head, "a journal that was followed");
    yield* this.#readFrom(followed.head, followed);
    this.#good = "not looked at";
  }

  async *#readFrom(from: JournalHead, reading: StreamReading): AsyncGenerator<string, void> {
    const { head: known } = reading;
    const records = this.#checked(this.#stream.records(reading));
    const wanted = known ? records : reading.after(from, records);
    for await (const { record } of wanted) yield record;
    // Every record may have been replaced by the snapshot.
    const { head } = reading;
    const last = head === null || head.number < from.number ? from : head;
    this.#witness.checkEnd(last);
    this.#place = { head: last, sequence: this.#stream.lastSequence };
    this.#hasRead = true;
    this.#witness.note(last);
  }

  async *#checked(records: AsyncIterable<ReadRecord>): AsyncGenerator<ReadRecord, void> {
    for await (const next of records) {
      this.#witness.check(next.head);
      yield next;
    }
  }

  head(): JournalHead {
    assert(this.#hasRead, "a journal to be read before its head is known");
    return this.#place.head;
  }

  stalled(): FarmError | null {
    return this.#stream.stalled;
  }

  async append(records: readonly string[]): Promise<void> {
    assert(!records.some((record) => record.includes("\n")), "records without line breaks");
    await this.#enqueue(records);
  }

  snapshot(lines: Iterable<string>): Promise<JournalHead> {
    assert(this.#snapshotting === null, "one snapshot at a time");
    const kept = this.#keepSnapshot(lines);
    this.#snapshotting = kept;
    return kept.finally(() => {
      this.#snapshotting = null;
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.giveUp(new FarmError("wrong-state", "the journal is closed"));
    await this.#flushing;
    await this.#snapshotting?.catch(() => {});
    await this.#witness.close();
    await this.#options.lease.release();
  }

  #enqueue(records: readonly string[] | null): Promise<StreamPlace> {
    assert(this.#hasRead, "a journal to be read before its first append");
    if (this.#closed) return Promise.reject(new FarmError("wrong-state", "the journal is closed"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  /** Appends that came while the server was busy share the next batch. */
  async #flush(): Promise<void> {
    // The first append of a turn waits for the others of the same turn.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch();
      try {
        if (this.#broken !== null) throw this.#broken;
        await this.#write(batch.flatMap(({ records }) => records ?? []));
        for (const { resolve } of batch) resolve(this.#place);
      } catch (error) {
        this.#broken ??= error as Error;
        for (const { reject } of batch) reject(error);
      }
    }
    this.#flushing = null;
  }

  /** From the queue: one snapshot's place, or appends up to a batch's length, one at least. */
  #nextBatch(): Waiting[] {
    let length = 0;
    let count = 0;
    for (const { records } of this.#waiting) {
      if (records === null) break;
      length += records.reduce((sum, record) => sum + record.length + 1, 0);
      if (count > 0 && length > BATCH_LENGTH) break;
      count += 1;
    }
    return this.#waiting.splice(0, Math.max(1, count));
  }

  async #write(records: readonly string[]): Promise<void> {
    if (records.length === 0) return;
    const pieceBytes = Math.min(BATCH_LENGTH, this.#options.client.payloadBytesMax - HEADER_BYTES);
    const { pieces, head } = encodeBatch(this.#place.head, records, pieceBytes);
    for (const piece of pieces) await this.#stream.publish(piece);
    this.#place = { head, sequence: this.#stream.lastSequence };
    this.#witness.note(head);
  }

  async #keepSnapshot(lines: Iterable<string>): Promise<JournalHead> {
    const place = await this.#enqueue(null);
    await this.#blobs.keepSnapshot(place, lines, () => this.#closed);
    if (this.#closed) throw new FarmError("wrong-state", "the journal was closed meanwhile");
    const fallback = this.#good;
    this.#good = place;
    if (fallback === "not looked at") return place.head;
    if (fallback?.head.number !== place.head.number) {
      await this.#dropUnneeded(fallback, place).catch((error: unknown) => {
        this.#options.log.warn(`journal ${this.#stream.name}: older parts stay: ${String(error)}`);
      });
    }
    return place.head;
  }

  /** Keeps the two snapshots (of which the older one may be the empty start) and all records after. */
  async #dropUnneeded(fallback: StreamPlace | null, newest: StreamPlace): Promise<void> {
    await this.#blobs.dropSnapshotsBut([fallback?.head.number ?? 0, newest.head.number]);
    if (fallback) await this.#stream.dropUpTo(fallback.sequence);
  }
}
