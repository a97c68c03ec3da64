/**
 * @file Port: the farm's events in order, the one durable truth.
 *
 * Embedded: append-only files. Production: a JetStream stream.
 *
 * The records form a chain: the hash of a record is the sha256, in hex, of the text
 * "<hash of the record before> <its number> <record>", numbers count from 1, and the hash before the
 * first one is 64 zeros. So one hash stands for all records up to it: a record that was changed,
 * lost, doubled or moved is found when the journal is read. What a journal alone cannot tell is that
 * its last records are missing altogether; who keeps a head elsewhere can.
 *
 * Snapshots keep a restart short. A journal keeps the last two at least, and every record after the
 * older one, so that a damaged snapshot costs time and nothing else.
 */

import type { FarmError } from "../core/errors.js";

/** A place in the journal. */
export interface JournalHead {
  /** Records up to here. */
  readonly number: number;
  /** Hash of the last of them, which covers all. */
  readonly hash: string;
}

export const JOURNAL_START: JournalHead = { number: 0, hash: "0".repeat(64) };

/** What somebody made of the records up to a place, in lines of his own. */
export interface JournalSnapshot {
  /** The place; records after it are not in the snapshot. */
  readonly head: JournalHead;
  /**
   * Gives the first line once all of them are known to be whole.
   *
   * @throws FarmError "wrong-state" naming the snapshot and what is wrong with it; "unreachable" when
   *   it cannot be read
   */
  lines(): AsyncIterable<string>;
}

export interface Journal {
  /** Those that are there, the newest first. */
  snapshots(): Promise<readonly JournalSnapshot[]>;

  /**
   * Every record after a snapshot, or from the first one; to be read once and to its end, before the
   * first append. All records that the journal still has are checked, given or not.
   *
   * An unfinished last record, which no append has answered for, is cut off.
   *
   * @throws FarmError "wrong-state" naming the place and what is wrong when a record is damaged or
   *   missing, or when records from the first on are asked for that a snapshot has replaced
   */
  read(after: JournalSnapshot | null): AsyncIterable<string>;

  /**
   * Instead of `read`, where the journal was opened by one who had followed it: every record after the
   * last one that he saw. Where this fails, `read` may still be tried.
   *
   * @throws FarmError as `read`
   */
  readOn?(): AsyncIterable<string>;

  /**
   * Appends records in order; resolves once they survive a crash of this machine. Once one append
   * has failed all later ones fail too, since they may build on what was lost: the owner has to end
   * and read again. Records of an append that failed may or may not be there then.
   *
   * @param records texts without line breaks
   */
  append(records: readonly string[]): Promise<void>;

  /**
   * Why appends wait now, where a journal can wait: "exhausted" when it is full, "unreachable" when
   * its server is away. Null while appends go through.
   */
  stalled?(): FarmError | null;

  /** The last record that was read, or whose append has resolved. */
  head(): JournalHead;

  /**
   * Keeps a snapshot that stands for the records of every append called before, and of none called
   * after; resolves once it survives a crash. Appends go on meanwhile: the lines are taken a few at
   * a time. One at a time. A snapshot that fails leaves the journal as it was.
   *
   * @param lines texts without line breaks
   * @returns the place that it stands for
   */
  snapshot(lines: Iterable<string>): Promise<JournalHead>;

  /** Gives up a snapshot under way. */
  close(): Promise<void>;
}

/** A journal that somebody else writes, read along with him. */
export interface JournalTail {
  snapshots(): Promise<readonly JournalSnapshot[]>;

  /**
   * Every record after a snapshot, or from the first one, and then each that is written; once. Ends
   * when stopped.
   *
   * @throws FarmError as `Journal.read`
   */
  follow(after: JournalSnapshot | null, stopped: AbortSignal): AsyncIterable<string>;

  /** The last record that was given. */
  readonly head: JournalHead;
}
