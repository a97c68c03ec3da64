/**
 * @file Journal in a folder: files of records, each synced before its append resolves, and snapshots.
 *
 * ```
 * journal-0000000000000001.log    records from 1 on; a snapshot begins a new file
 * snapshot-0000000000010000.snap  stands for all records up to 10000
 * journal-0000000000010001.log    records from 10001 on
 * lock                            names the process that has it open
 * ```
 */
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readdir, realpath, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { assert } from "../../core/assert.js";
import { FarmError } from "../../core/errors.js";
import type { Journal, JournalHead, JournalSnapshot } from "../../ports/journal.js";
import { JOURNAL_START } from "../../ports/journal.js";
import { type Log, silentLog } from "../../ports/log.js";
import { asUnreachable, syncDirectory, systemErrorCode, writeWhole } from "./durable.js";
import {
  emptySegmentBytes,
  encodeRecords,
  listSegments,
  placeSegment,
  prepareSegment,
  SegmentReader,
  segmentPath,
} from "./journal-segment.js";
import { listSnapshots, openSnapshot, snapshotPath, writeSnapshot } from "./journal-snapshot.js";
import { takeLock } from "./lock-file.js";

interface Waiting {
  /** Null: begin a new file. */
  readonly records: readonly string[] | null;
  readonly resolve: (head: JournalHead) => void;
  readonly reject: (error: unknown) => void;
}

/** The file that records are appended to. */
interface Segment {
  readonly file: FileHandle;
  /** Number of its first record. */
  readonly first: number;
  /** Length up to the end of the last good record. */
  readonly bytes: number;
}

export class FileJournal implements Journal {
  readonly #folder: string;
  readonly #log: Log;
  readonly #unlock: () => Promise<void>;
  readonly #waiting: Waiting[] = [];
  /** Null until all was read. */
  #segment: Segment | null = null;
  #head: JournalHead = JOURNAL_START;
  /** The newest snapshot that is known to be good. */
  #good: JournalHead | null = null;
  #flushing: Promise<void> | null = null;
  #snapshotting: Promise<unknown> | null = null;
  /** Set once what is in memory may not be in the file: nothing is appended any more. */
  #broken: Error | null = null;
  #closed = false;

  private constructor(folder: string, log: Log, unlock: () => Promise<void>) {
    this.#folder = folder;
    this.#log = log;
    this.#unlock = unlock;
  }

  /**
   * Opens a journal, making its folder where it is missing; the folder above must be there.
   *
   * @throws FarmError "wrong-state" when another live process has it open, "unreachable" when the
   *   folder cannot be used
   */
  static async open(folder: string, log: Log = silentLog): Promise<FileJournal> {
    let unlock: (() => Promise<void>) | null = null;
    try {
      await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
        if (systemErrorCode(error) !== "EEXIST") throw error;
      });
      unlock = await takeLock(join(folder, "lock"));
      await prepareFolder(folder);
      return new FileJournal(folder, log, unlock);
    } catch (error) {
      await unlock?.();
      throw asUnreachable(`cannot open the journal ${folder}`, error);
    }
  }

  async snapshots(): Promise<readonly JournalSnapshot[]> {
    const found: JournalSnapshot[] = [];
    for (const number of (await listSnapshots(this.#folder)).reverse()) {
      try {
        found.push(await openSnapshot(this.#folder, number));
      } catch (error) {
        if (!(error instanceof FarmError)) throw error;
        this.#log.warn(error.detail);
      }
    }
    return found;
  }

  async *read(after: JournalSnapshot | null): AsyncGenerator<string, void> {
    assert(this.#segment === null, "a journal to be read once, before its first append");
    const from = after?.head ?? JOURNAL_START;
    const firsts = await this.#segmentsFrom(from);
    let reader = null as SegmentReader | null;
    for (const first of firsts) {
      reader?.refuseTail();
      const begin = first === from.number + 1 ? from : null;
      const before = reader?.head ?? begin;
      if (before && begin && before.hash !== begin.hash) throw this.#foreignSnapshot(begin);
      reader = new SegmentReader(segmentPath(this.#folder, first), first, before);
      for await (const record of reader.records()) {
        if (reader.head.number > from.number) yield record;
      }
    }
    assert(reader, "a file to read");
    await this.#openForAppending(reader, firsts.at(-1) ?? 1);
    this.#good = after?.head ?? null;
  }

  head(): JournalHead {
    assert(this.#segment !== null, "a journal to be read before its head is known");
    return this.#head;
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
    await this.#flushing;
    await this.#snapshotting?.catch(() => {});
    await this.#segment?.file.close();
    await this.#unlock();
  }

  /** Numbers of the first records of all files, which have those after `from` among them. */
  async #segmentsFrom(from: JournalHead): Promise<number[]> {
    const firsts = await listSegments(this.#folder);
    if (firsts.includes(from.number + 1)) return firsts;
    const missing = segmentPath(this.#folder, from.number + 1);
    const why =
      from.number === 0
        ? "a snapshot has replaced the first records, and none can be used"
        : "the records after the snapshot are missing";
    throw new FarmError("wrong-state", `journal ${missing}: ${why}; restore it from a copy`);
  }

  #foreignSnapshot({ number }: JournalHead): FarmError {
    const path = snapshotPath(this.#folder, number);
    const text = `the snapshot ${path} is not of this journal: the hash of record ${number} differs`;
    return new FarmError("wrong-state", `${text}; remove it, or restore both from a copy`);
  }

  /** Cuts off what a crash left behind. */
  async #openForAppending(reader: SegmentReader, first: number): Promise<void> {
    const path = segmentPath(this.#folder, first);
    // Positioned writes need a file that was not opened for appending.
    const file = await open(path, "r+");
    if (reader.tail !== "none") {
      const what = { unfinished: "an unfinished record", unbroken: "a missing line break" };
      this.#log.warn(`journal ${path}: ${what[reader.tail]} at the end was put right`);
    }
    await file.truncate(reader.bytes);
    if (reader.tail === "unbroken") await writeWhole(file, Buffer.from("\n"), reader.bytes - 1);
    await file.sync();
    this.#head = reader.head;
    this.#segment = { file, first, bytes: reader.bytes };
  }

  #enqueue(records: readonly string[] | null): Promise<JournalHead> {
    assert(this.#segment !== null, "a journal to be read before its first append");
    if (this.#closed) return Promise.reject(new FarmError("wrong-state", "the journal is closed"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  /** Appends that came while the disk was busy share the next write and sync. */
  async #flush(): Promise<void> {
    // The first append of a turn waits for the others of the same turn.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const turn = this.#waiting.findIndex(({ records }) => records === null);
      const batch = this.#waiting.splice(0, turn < 0 ? this.#waiting.length : Math.max(turn, 1));
      try {
        if (this.#broken !== null) throw this.#broken;
        if (turn === 0) await this.#beginSegment();
        else await this.#write(batch.flatMap(({ records }) => records ?? []));
        for (const { resolve } of batch) resolve(this.#head);
      } catch (error) {
        for (const { reject } of batch) {
          reject(asUnreachable("cannot append to the journal", error));
        }
      }
    }
    this.#flushing = null;
  }

  async #write(records: readonly string[]): Promise<void> {
    if (records.length === 0) return;
    const segment = this.#segment!;
    const { text, head } = encodeRecords(this.#head, records);
    const data = Buffer.from(text);
    try {
      await writeWhole(segment.file, data, segment.bytes);
      await segment.file.datasync();
    } catch (error) {
      this.#broken = error as Error;
      // What a full disk took of the batch was never answered for.
      await segment.file.truncate(segment.bytes).catch(() => {});
      throw error;
    }
    this.#head = head;
    this.#segment = { ...segment, bytes: segment.bytes + data.length };
  }

  /** Later records go to a new file; nothing to do where this one has none yet. */
  async #beginSegment(): Promise<void> {
    const { file: old, first } = this.#segment!;
    const next = this.#head.number + 1;
    if (first === next) return;
    const prepared = await prepareSegment(this.#folder, this.#head);
    try {
      await placeSegment(this.#folder, prepared);
      const file = await open(segmentPath(this.#folder, next), "r+");
      this.#segment = { file, first: next, bytes: emptySegmentBytes(this.#head) };
    } catch (error) {
      // Whether the new file is there is not known, and records must not follow in the old one.
      this.#broken = error as Error;
      throw error;
    }
    await old.close();
  }

  async #keepSnapshot(lines: Iterable<string>): Promise<JournalHead> {
    const head = await this.#enqueue(null);
    try {
      await writeSnapshot(this.#folder, head, lines, () => this.#closed);
    } catch (error) {
      throw asUnreachable("cannot write a snapshot of the journal", error);
    }
    const fallback = this.#good;
    this.#good = head;
    if (fallback?.number !== head.number) {
      await this.#dropUnneeded(fallback ?? JOURNAL_START, head).catch((error: unknown) => {
        this.#log.warn(`journal ${this.#folder}: older files stay: ${String(error)}`);
      });
    }
    return head;
  }

  /** Keeps the two snapshots (of which the older one may be the empty start) and all records after. */
  async #dropUnneeded(fallback: JournalHead, newest: JournalHead): Promise<void> {
    const kept = [fallback.number, newest.number];
    const snapshots = await listSnapshots(this.#folder);
    const firsts = await listSegments(this.#folder);
    const paths = [
      ...snapshots.filter((n) => !kept.includes(n)).map((n) => snapshotPath(this.#folder, n)),
      ...firsts
        .filter((_, i) => (firsts[i + 1] ?? Number.POSITIVE_INFINITY) <= fallback.number + 1)
        .map((first) => segmentPath(this.#folder, first)),
    ];
    for (const path of paths) {
      await rm(path, { force: true });
      // One after the other: a crash must not leave a gap between files.
      await syncDirectory(this.#folder);
    }
  }
}

/** Removes what a crash left half made, and begins a journal in an empty folder. */
async function prepareFolder(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (/^(journal|snapshot)-\d+\..*\.tmp$/.test(name)) await rm(join(folder, name));
  }
  const isNew =
    (await listSegments(folder)).length === 0 && (await listSnapshots(folder)).length === 0;
  if (isNew) await placeSegment(folder, await prepareSegment(folder, JOURNAL_START));
  await syncDirectory(dirname(await realpath(folder)));
}
