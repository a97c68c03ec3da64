/** @file What is piped into a command: read once, whoever asks for it. */
import { FarmError } from "../shared/core/errors.js";

/** Whole once it is read; a pipe can be read only once. */
let whole: Promise<Uint8Array> | null = null;
let isClosed = false;

/** From now on nothing is read: `--no-input`. */
export function closeStandardInput(): void {
  isClosed = true;
}

/**
 * Everything on stdin up to its end. Later calls get the same bytes.
 *
 * @param bytesMax more is refused, without reading on
 * @throws FarmError "invalid-argument" for a terminal, for nothing, for too much, and when it is closed
 */
export async function readStandardInput(bytesMax: number): Promise<Uint8Array> {
  if (isClosed) {
    throw new FarmError("invalid-argument", "is stdin, which --no-input leaves alone; name a file");
  }
  whole ??= readToEnd(process.stdin, bytesMax);
  const bytes = await whole;
  if (bytes.length > bytesMax) throw tooLong(bytesMax);
  return bytes;
}

async function readToEnd(
  stream: AsyncIterable<Uint8Array> & { readonly isTTY?: boolean },
  bytesMax: number,
): Promise<Uint8Array> {
  if (stream.isTTY) {
    throw new FarmError("invalid-argument", "is stdin, a terminal; pipe a file into the command");
  }
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream) {
    size += part.length;
    if (size > bytesMax) throw tooLong(bytesMax);
    parts.push(part);
  }
  if (size === 0) throw new FarmError("invalid-argument", "is stdin, which is empty");
  return Buffer.concat(parts, size);
}

function tooLong(bytesMax: number): FarmError {
  return new FarmError("invalid-argument", `is stdin with more than the legal ${bytesMax} bytes`);
}
