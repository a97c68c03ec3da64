/** @file What writing to a disk takes to survive a crash, and what its errors mean to the farm. */
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { FarmError } from "../../core/errors.js";

/** The code of a system error, e.g. "ENOENT"; null for any other value. */
export function systemErrorCode(error: unknown): string | null {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return null;
  return String(error.code);
}

/**
 * A system error as FarmError "unreachable", so that the caller waits and retries; anything else
 * (a FarmError, a bug) stays what it is.
 *
 * @param what what could not be done, without paths
 */
export function asUnreachable(what: string, error: unknown): unknown {
  const code = systemErrorCode(error);
  if (code === null) return error;
  const way = code === "ENOSPC" ? ": the disk is full, make room" : "";
  return new FarmError("unreachable", `${what} (${code})${way}`, { cause: error });
}

/** Makes names in a folder (created, renamed, linked) survive a crash, as fsync does for bytes. */
export async function syncDirectory(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Writes all of the bytes; a single write may take only a part of them. */
export async function writeWhole(
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
}
