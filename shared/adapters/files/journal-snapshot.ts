/**
 * @file One snapshot in a file: "renderfarm-snapshot 1 <number> <hash>" names the place in the journal
 * that it stands for, then come its lines, then "end <sha256 over all before>".
 */
import { createHash } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { FarmError } from "../../core/errors.js";
import type { JournalHead, JournalSnapshot } from "../../ports/journal.js";
import { asUnreachable, syncDirectory, writeWhole } from "./durable.js";
import { linesOf, listNumbered, numberedName } from "./file-lines.js";

const PREFIX = "snapshot-";
const SUFFIX = ".snap";
const HEADER = /^renderfarm-snapshot 1 (\d{1,16}) ([0-9a-f]{64})$/;
/** Characters taken and written at a time: what others wait for is a millisecond, not the whole. */
const SLICE_LENGTH = 64 * 1024;

/** @param number the record that it stands for, and all before */
export function snapshotPath(folder: string, number: number): string {
  return join(folder, numberedName(PREFIX, number, SUFFIX));
}

/** Numbers of the last records that snapshots stand for, rising. */
export function listSnapshots(folder: string): Promise<number[]> {
  return listNumbered(folder, PREFIX, SUFFIX);
}

/**
 * Writes a snapshot beside its place, then moves it there: it is there whole or not at all.
 *
 * @param isGivenUp asked between slices
 * @throws FarmError "wrong-state" when it was given up
 */
export async function writeSnapshot(
  folder: string,
  head: JournalHead,
  lines: Iterable<string>,
  isGivenUp: () => boolean,
): Promise<void> {
  const path = snapshotPath(folder, head.number);
  const prepared = `${path}.tmp`;
  const file = await open(prepared, "w", 0o600);
  try {
    const hash = createHash("sha256");
    let bytes = 0;
    const write = async (text: string) => {
      const data = Buffer.from(text);
      hash.update(data);
      await writeWhole(file, data, bytes);
      bytes += data.length;
    };
    await write(`renderfarm-snapshot 1 ${head.number} ${head.hash}\n`);
    for (const slice of slicesOf(lines)) {
      if (isGivenUp()) throw new FarmError("wrong-state", "the journal is closed");
      await write(slice);
    }
    await write(`end ${hash.copy().digest("hex")}\n`);
    await file.sync();
    await file.close();
    await rename(prepared, path);
    await syncDirectory(folder);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(prepared, { force: true });
    throw error;
  }
}

/** @throws FarmError "wrong-state" when its first line is not one of a snapshot */
export async function openSnapshot(folder: string, number: number): Promise<JournalSnapshot> {
  const path = snapshotPath(folder, number);
  for await (const { bytes } of linesOf(path)) {
    const [, at, hash] = HEADER.exec(bytes.toString()) ?? [];
    if (hash === undefined || Number(at) !== number) break;
    return { head: { number, hash }, lines: () => checkedLines(path) };
  }
  throw damaged(path, "it does not begin as a snapshot of version 1 does");
}

async function* checkedLines(path: string): AsyncGenerator<string, void> {
  let last = 0;
  try {
    last = await checkWhole(path);
  } catch (error) {
    throw asUnreachable(`cannot read the snapshot ${path}`, error);
  }
  let number = 0;
  for await (const { bytes } of linesOf(path)) {
    number += 1;
    if (number > 1 && number < last) yield bytes.toString();
  }
}

/** @returns the number of its last line */
async function checkWhole(path: string): Promise<number> {
  const hash = createHash("sha256");
  let number = 0;
  let last: Buffer = Buffer.alloc(0);
  for await (const { bytes, complete } of linesOf(path)) {
    if (!complete) throw damaged(path, "its end is missing");
    if (number > 0) hash.update(last).update("\n");
    number += 1;
    last = bytes;
  }
  const end = last.toString();
  if (!end.startsWith("end ")) throw damaged(path, "its end is missing");
  if (end !== `end ${hash.digest("hex")}`) throw damaged(path, "its checksum is another");
  return number;
}

/** Lines with their breaks, joined to texts of about one slice. */
function* slicesOf(lines: Iterable<string>): Generator<string, void> {
  let slice = "";
  for (const line of lines) {
    slice += `${line}\n`;
    if (slice.length < SLICE_LENGTH) continue;
    yield slice;
    slice = "";
  }
  if (slice !== "") yield slice;
}

function damaged(path: string, problem: string): FarmError {
  return new FarmError("wrong-state", `the snapshot ${path} is damaged: ${problem}`);
}
