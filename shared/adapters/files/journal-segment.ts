/**
 * @file One file of the journal: records that follow each other, one a line.
 *
 * The first line is "renderfarm-journal 1 <number> <hash>" and names the record before the file's
 * first one; then comes a line "<number> <hash> <record>" for each record. The hashes are those of
 * the port's chain.
 */
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { FarmError } from "../../core/errors.js";
import type { JournalHead } from "../../ports/journal.js";
import { nextHead } from "../journal-chain.js";
import { syncDirectory } from "./durable.js";
import { type Line, linesOf, listNumbered, numberedName } from "./file-lines.js";

const PREFIX = "journal-";
const SUFFIX = ".log";
const HEADER = /^renderfarm-journal 1 (\d{1,16}) ([0-9a-f]{64})$/;
const RECORD = /^(\d{1,16}) ([0-9a-f]{64}) /;

/** @param first number of the file's first record */
export function segmentPath(folder: string, first: number): string {
  return join(folder, numberedName(PREFIX, first, SUFFIX));
}

/** Numbers of the files' first records, rising. */
export function listSegments(folder: string): Promise<number[]> {
  return listNumbered(folder, PREFIX, SUFFIX);
}

/**
 * A file without records, not yet under its name.
 *
 * @param head the record before its first one
 */
export async function prepareSegment(folder: string, head: JournalHead): Promise<string> {
  const prepared = `${segmentPath(folder, head.number + 1)}.tmp`;
  try {
    const file = await open(prepared, "w", 0o600);
    try {
      await file.writeFile(headerLine(head));
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    await rm(prepared, { force: true });
    throw error;
  }
  return prepared;
}

/** Gives a prepared file its name. */
export async function placeSegment(folder: string, prepared: string): Promise<void> {
  await rename(prepared, prepared.slice(0, -".tmp".length));
  await syncDirectory(folder);
}

/** Bytes of a file without records. */
export function emptySegmentBytes(head: JournalHead): number {
  return headerLine(head).length;
}

/** The lines of records and the head after the last of them. */
export function encodeRecords(
  head: JournalHead,
  records: readonly string[],
): { readonly text: string; readonly head: JournalHead } {
  const lines: string[] = [];
  let at = head;
  for (const record of records) {
    at = nextHead(at, record);
    lines.push(`${at.number} ${at.hash} ${record}\n`);
  }
  return { text: lines.join(""), head: at };
}

/** Reads one file and checks every record of it. */
export class SegmentReader {
  /** The last good record, or the one before the first. */
  head: JournalHead;
  /** Length of the file up to the end of the last good record, its line break included. */
  bytes = 0;
  /** What follows the last good record: an unfinished line, or a record without its line break. */
  tail: "none" | "unfinished" | "unbroken" = "none";
  readonly #path: string;
  readonly #before: JournalHead | null;
  #line = 0;

  /**
   * @param first number of the file's first record, by its name
   * @param before what the file has to follow; null where only the file itself can tell
   */
  constructor(path: string, first: number, before: JournalHead | null) {
    this.#path = path;
    this.#before = before;
    this.head = before ?? { number: first - 1, hash: "" };
  }

  /** @throws FarmError "wrong-state" naming the file, the line and what is wrong */
  async *records(): AsyncGenerator<string, void> {
    for await (const line of linesOf(this.#path)) {
      this.#line += 1;
      if (this.#line === 1) this.#takeHeader(line);
      else if (line.complete) yield this.#takeRecord(line.bytes);
      else yield* this.#takeTail(line.bytes);
    }
    if (this.#line === 0) throw this.#damaged("the file is empty");
  }

  #takeHeader(line: Line): void {
    const [, number, hash] = HEADER.exec(line.bytes.toString()) ?? [];
    if (!line.complete || number === undefined || hash === undefined) {
      throw this.#damaged("it is not the first line of a journal file of version 1");
    }
    const fits = Number(number) === this.head.number;
    if (!fits || (this.#before !== null && hash !== this.#before.hash)) {
      throw this.#damaged(`it does not follow record ${this.head.number} of this journal`);
    }
    this.head = { number: this.head.number, hash };
    this.bytes = line.bytes.length + 1;
  }

  #takeRecord(bytes: Buffer): string {
    const text = bytes.toString();
    const good = this.#follows(text);
    if (good === null) throw this.#damaged(this.#problemOf(text));
    this.head = good.head;
    this.bytes += bytes.length + 1;
    return good.record;
  }

  /**
   * A crash leaves a first part of a line behind. Where the line is whole but for its break, the
   * record was perhaps answered for, and its hash says that it is good.
   */
  *#takeTail(bytes: Buffer): Generator<string, void> {
    for (const whole of [bytes, bytes.subarray(0, -1)]) {
      if (this.#follows(whole.toString()) === null) continue;
      this.tail = "unbroken";
      yield this.#takeRecord(whole);
      return;
    }
    this.tail = "unfinished";
  }

  /** Stops the start at an end that only the newest file may have. */
  refuseTail(): void {
    if (this.tail !== "none") throw this.#damaged("it is cut, and another file follows");
  }

  #follows(text: string): { readonly head: JournalHead; readonly record: string } | null {
    const [start = "", number, hash] = RECORD.exec(text) ?? [];
    const record = text.slice(start.length);
    const head = nextHead(this.head, record);
    return Number(number) === head.number && hash === head.hash ? { head, record } : null;
  }

  #problemOf(text: string): string {
    const [, number] = RECORD.exec(text) ?? [];
    const expected = this.head.number + 1;
    if (number === undefined) return "it is not a record";
    if (Number(number) > expected) {
      return `it says record ${number} where ${expected} belongs: records are missing, or it moved`;
    }
    if (Number(number) < expected) {
      return `it says record ${number} where ${expected} belongs: it is doubled, or it moved`;
    }
    return `record ${expected} is not what was written, or is of another journal`;
  }

  #damaged(problem: string): FarmError {
    const { number } = this.head;
    const cut =
      this.bytes > 0
        ? `, or cut it to ${this.bytes} bytes and remove later files to give up all that came ` +
          `after record ${number}`
        : "";
    return new FarmError(
      "wrong-state",
      `journal ${this.#path}: line ${this.#line} is damaged: ${problem}; ` +
        `restore the file from a copy${cut}`,
    );
  }
}

function headerLine(head: JournalHead): string {
  return `renderfarm-journal 1 ${head.number} ${head.hash}\n`;
}
