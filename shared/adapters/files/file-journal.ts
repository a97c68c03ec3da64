/**
 * @file Journal in an append-only file: one record a line, synced before an append resolves.
 *
 * A line is "<number> <checksum> <record>"; the number counts from 1, the checksum covers number
 * and record. So a line that was cut, changed, lost or doubled is seen at the next start.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { open, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { assert } from "../../core/assert.js";
import { FarmError } from "../../core/errors.js";
import type { Journal } from "../../ports/journal.js";
import { asUnreachable, syncDirectory, writeWhole } from "./durable.js";
import { takeLock } from "./lock-file.js";

/** Hex digits of a line's sha256 that are kept: an accident passes one time in 2^64. */
const CHECKSUM_LENGTH = 16;
const NEWLINE = 0x0a;
/** Bytes of one record; ours have a few hundred, and a damaged file must not fill the memory. */
const LINE_BYTES_MAX = 16 * 1024 * 1024;

interface Waiting {
  readonly records: readonly string[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class FileJournal implements Journal {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #unlock: () => Promise<void>;
  readonly #waiting: Waiting[] = [];
  /** Lines and bytes that are known to be good; null until all was read. */
  #end: { lines: number; bytes: number } | null = null;
  #flushing: Promise<void> | null = null;
  /** Set once the file can no longer be trusted: nothing is appended any more. */
  #broken: Error | null = null;
  #closed = false;

  private constructor(path: string, file: FileHandle, unlock: () => Promise<void>) {
    this.#path = path;
    this.#file = file;
    this.#unlock = unlock;
  }

  /**
   * Opens a journal, making it where it is missing; its folder must be there.
   *
   * @throws FarmError "wrong-state" when another live process has it open, "unreachable" when the
   *   file cannot be opened
   */
  static async open(path: string): Promise<FileJournal> {
    let unlock: (() => Promise<void>) | null = null;
    try {
      unlock = await takeLock(`${path}.lock`);
      const file = await open(path, "a+", 0o600).then(async (appending) => {
        await appending.close();
        // Positioned writes need a file that was not opened for appending.
        return open(path, "r+");
      });
      await syncDirectory(dirname(await realpath(path)));
      return new FileJournal(path, file, unlock);
    } catch (error) {
      await unlock?.();
      throw asUnreachable(`cannot open the journal ${path}`, error);
    }
  }

  /**
   * @throws FarmError "wrong-state" naming the line when a record is damaged or missing; only an
   *   unfinished last line, which no append has answered for, is cut off
   */
  async *read(): AsyncIterable<string> {
    assert(this.#end === null, "a journal to be read once, before its first append");
    const end = { lines: 0, bytes: 0 };
    for await (const line of linesOf(this.#path)) {
      if (!line.complete) break;
      const record = decodeLine(line.bytes, end.lines + 1);
      if (record === null) throw this.#damaged(end.lines + 1, end.bytes);
      end.lines += 1;
      end.bytes += line.bytes.length + 1;
      yield record;
    }
    await this.#file.truncate(end.bytes);
    await this.#file.sync();
    this.#end = end;
  }

  append(records: readonly string[]): Promise<void> {
    assert(this.#end !== null, "a journal to be read before its first append");
    assert(!records.some((record) => record.includes("\n")), "records without line breaks");
    if (this.#closed) return Promise.reject(new FarmError("wrong-state", "the journal is closed"));
    if (this.#broken !== null) return Promise.reject(asUnreachable("journal", this.#broken));
    if (records.length === 0) return this.#flushing ?? Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#flushing;
    await this.#file.close();
    await this.#unlock();
  }

  /** Appends that came while the disk was busy share the next write and sync. */
  async #flush(): Promise<void> {
    // The first append of a turn waits for the others of the same turn.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      try {
        await this.#write(batch.flatMap((waiting) => waiting.records));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) {
          reject(asUnreachable("cannot append to the journal", error));
        }
      }
    }
    this.#flushing = null;
  }

  async #write(records: readonly string[]): Promise<void> {
    if (this.#broken !== null) throw this.#broken;
    const { lines, bytes } = this.#end!;
    const text = records.map((record, i) => encodeLine(lines + i + 1, record)).join("");
    const data = Buffer.from(text);
    try {
      await writeWhole(this.#file, data, bytes);
    } catch (error) {
      // A full disk leaves a part of the batch behind; without it the journal can go on later.
      await this.#file.truncate(bytes).catch((cause: Error) => (this.#broken = cause));
      throw error;
    }
    try {
      await this.#file.datasync();
    } catch (error) {
      // After a failed sync nobody knows what the disk holds, and a second sync would not tell.
      this.#broken = error as Error;
      throw error;
    }
    this.#end = { lines: lines + records.length, bytes: bytes + data.length };
  }

  #damaged(line: number, bytes: number): FarmError {
    return new FarmError(
      "wrong-state",
      `journal ${this.#path}: line ${line} (from byte ${bytes}) is damaged or missing; ` +
        `restore the file from a copy, or cut it to ${bytes} bytes to give up all later events`,
    );
  }
}

/** "<number> <checksum> <record>\n". */
function encodeLine(number: number, record: string): string {
  return `${number} ${checksum(number, record)} ${record}\n`;
}

/** The record of a line, or null when it is not the line of that number or was changed. */
function decodeLine(bytes: Uint8Array, number: number): string | null {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  const head = `${number} `;
  const recordAt = head.length + CHECKSUM_LENGTH + 1;
  const record = text.slice(recordAt);
  return text.slice(0, recordAt) === `${head}${checksum(number, record)} ` ? record : null;
}

function checksum(number: number, record: string): string {
  const hash = createHash("sha256").update(`${number} ${record}`).digest("hex");
  return hash.slice(0, CHECKSUM_LENGTH);
}

interface Line {
  /** Without the line break. */
  readonly bytes: Uint8Array;
  /** False only for a last line that no line break ends. */
  readonly complete: boolean;
}

/** Lines of a file; what follows the last line break comes as an incomplete one. */
async function* linesOf(path: string): AsyncIterable<Line> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      yield { bytes: Buffer.concat([rest, chunk.subarray(from, at)]), complete: true };
      rest = Buffer.alloc(0);
      from = at + 1;
    }
    rest = Buffer.concat([rest, chunk.subarray(from)]);
    if (rest.length > LINE_BYTES_MAX) {
      throw new FarmError("wrong-state", `journal ${path}: a line of over ${LINE_BYTES_MAX} bytes`);
    }
  }
  if (rest.length > 0) yield { bytes: rest, complete: false };
}
