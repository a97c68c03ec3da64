/**
 * @file Records of one append, or of several that were merged, as messages of a stream.
 *
 * A batch is the records' text, joined by line breaks and cut into pieces that fit a message. Every
 * piece names the batch: the head before it, the head after it, its place. A batch counts once all
 * of its pieces are there, so an append is kept whole or not at all.
 */
import { FarmError } from "../../core/errors.js";
import { JOURNAL_START, type JournalHead } from "../../ports/journal.js";
import { nextHead } from "../journal-chain.js";
import { headers, type MsgHdrs } from "./nats-client.js";

const HEADER = "Rf-Batch";
const FORM = /^1 (\d{1,16}) ([0-9a-f]{64}) (\d{1,16}) ([0-9a-f]{64}) (\d{1,6})\/(\d{1,6})$/;

export interface BatchPiece {
  readonly data: Uint8Array;
  readonly headers: MsgHdrs;
  /** Equal only for the same records in the same place; names the message to the server. */
  readonly id: string;
}

/** The pieces of a batch that follows `before`, and the head after it. */
export function encodeBatch(
  before: JournalHead,
  records: readonly string[],
  pieceBytes: number,
): { readonly pieces: readonly BatchPiece[]; readonly head: JournalHead } {
  const head = records.reduce(nextHead, before);
  const data = Buffer.from(records.join("\n"));
  const count = Math.max(1, Math.ceil(data.length / pieceBytes));
  const pieces = Array.from({ length: count }, (_, i) => {
    const place = `${before.number} ${before.hash} ${head.number} ${head.hash}`;
    const piece = headers();
    piece.set(HEADER, `1 ${place} ${i}/${count}`);
    return {
      data: data.subarray(i * pieceBytes, (i + 1) * pieceBytes),
      headers: piece,
      id: `${head.hash.slice(0, 32)}-${before.number}-${i}`,
    };
  });
  return { pieces, head };
}

interface Place {
  readonly before: JournalHead;
  readonly after: JournalHead;
  readonly index: number;
  readonly count: number;
}

/** Puts batches together again, in the order of the stream, and checks every record. */
export class BatchReader {
  readonly #stream: string;
  /** The last record read; null until the first batch tells where the stream begins. */
  head: JournalHead | null = null;
  #pending: { readonly place: Place; readonly pieces: Uint8Array[] } | null = null;

  constructor(stream: string) {
    this.#stream = stream;
  }

  /** Whether the messages so far end within a batch, which nobody was told is kept. */
  get hasUnfinished(): boolean {
    return this.#pending !== null;
  }

  /**
   * @param message one message, with its number in the stream
   * @returns the records that it completes, each with the head after it
   * @throws FarmError "wrong-state" naming the message and what is wrong
   */
  push(message: {
    readonly seq: number;
    readonly headers?: MsgHdrs | undefined;
    readonly data: Uint8Array;
  }): readonly { readonly record: string; readonly head: JournalHead }[] {
    const place = placeOf(message.headers?.get(HEADER) ?? "");
    if (!place) throw this.#damaged(message.seq, "it is not a piece of a batch");
    const pending = place.index === 0 ? { place, pieces: [] } : this.#pending;
    const isNext =
      pending !== null &&
      pending.pieces.length === place.index &&
      pending.place.after.hash === place.after.hash;
    if (!isNext) throw this.#damaged(message.seq, "the pieces before it are missing");
    pending.pieces.push(message.data);
    this.#pending = pending;
    if (pending.pieces.length < place.count) return [];
    this.#pending = null;
    return this.#check(message.seq, place, Buffer.concat(pending.pieces).toString("utf8"));
  }

  #check(seq: number, { before, after }: Place, text: string) {
    const last = this.head ?? before;
    if (last.number !== before.number) {
      const what = before.number > last.number ? "records are missing" : "it is doubled";
      const text = `it follows record ${before.number} where ${last.number} is the last: ${what}`;
      throw this.#damaged(seq, text);
    }
    if (last.hash !== before.hash) throw this.#damaged(seq, "it is of another journal");
    if (before.number === 0 && before.hash !== JOURNAL_START.hash) {
      throw this.#damaged(seq, "it does not begin a journal");
    }
    let at = before;
    const records = text.split("\n").map((record) => {
      at = nextHead(at, record);
      return { record, head: at };
    });
    if (at.hash !== after.hash || at.number !== after.number) {
      throw this.#damaged(seq, "its records are not what was written");
    }
    this.head = at;
    return records;
  }

  #damaged(seq: number, what: string): FarmError {
    const text = `message ${seq} of the stream ${this.#stream} is damaged: ${what}`;
    return new FarmError("wrong-state", `${text}; restore the server's store from a copy`);
  }
}

function placeOf(text: string): Place | null {
  const [, number, hash, nextNumber, nextHash, index, count] = FORM.exec(text) ?? [];
  if (!hash || !nextHash) return null;
  return {
    before: { number: Number(number), hash },
    after: { number: Number(nextNumber), hash: nextHash },
    index: Number(index),
    count: Number(count),
  };
}
