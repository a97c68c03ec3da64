/** @file Files of lines, as the journal writes them: read one line at a time, named by numbers. */
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { FarmError } from "../../core/errors.js";

const NEWLINE = 0x0a;
/** Bytes of one line; ours have a few thousand, and a damaged file must not fill the memory. */
const LINE_BYTES_MAX = 16 * 1024 * 1024;
const NUMBER_DIGITS = 16;

export interface Line {
  /** Without the line break. */
  readonly bytes: Buffer;
  /** False only for a last line that no line break ends. */
  readonly complete: boolean;
}

/**
 * Lines of a file; what follows the last line break comes as an incomplete one.
 *
 * @throws FarmError "wrong-state" for a line of over 16 MiB
 */
export async function* linesOf(path: string): AsyncGenerator<Line, void> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      const last = chunk.subarray(from, at);
      yield { bytes: rest.length > 0 ? Buffer.concat([...rest, last]) : last, complete: true };
      rest = [];
      restBytes = 0;
      from = at + 1;
    }
    if (from < chunk.length) rest.push(chunk.subarray(from));
    restBytes += chunk.length - from;
    if (restBytes > LINE_BYTES_MAX) {
      throw new FarmError("wrong-state", `${path} has a line of over ${LINE_BYTES_MAX} bytes`);
    }
  }
  if (restBytes > 0) yield { bytes: Buffer.concat(rest), complete: false };
}

/** E.g. "journal-0000000000000001.log": names sort as their numbers do. */
export function numberedName(prefix: string, number: number, suffix: string): string {
  return `${prefix}${String(number).padStart(NUMBER_DIGITS, "0")}${suffix}`;
}

/** The numbers of such files in a folder, rising. */
export async function listNumbered(
  folder: string,
  prefix: string,
  suffix: string,
): Promise<number[]> {
  const numbers = (await readdir(folder)).flatMap((name) => {
    const number = Number(name.slice(prefix.length, -suffix.length));
    return name === numberedName(prefix, number, suffix) ? [number] : [];
  });
  return numbers.sort((a, b) => a - b);
}
