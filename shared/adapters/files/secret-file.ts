/** @file Files that hold secrets: written whole with mode 0600, refused when everyone may read them. */
import { randomUUID } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from "node:fs";
import { FarmError } from "../../core/errors.js";
import { systemErrorCode } from "./durable.js";

const READABLE_BY_ALL = 0o007;

/**
 * Text of a file that only its owner and group may read. A mounted secret of Kubernetes is readable
 * by the group of its pod, so the group is not refused.
 *
 * @param what for messages, e.g. "--tls-key"
 * @throws FarmError "invalid-argument" when it cannot be read, or others may
 */
export function readSecretFile(path: string, what: string): string {
  const text = readTextFile(path, what);
  if (process.platform !== "win32" && (statSync(path).mode & READABLE_BY_ALL) !== 0) {
    const detail = `${what}: everyone on this machine may read ${path}; chmod 600 it`;
    throw new FarmError("invalid-argument", detail);
  }
  return text;
}

/** @throws FarmError "invalid-argument" when it cannot be read */
export function readTextFile(path: string, what: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const detail = `${what}: ${path} cannot be read (${systemErrorCode(error)})`;
    throw new FarmError("invalid-argument", detail, { cause: error });
  }
}

/** The file holds the old text or the new one, whole, whenever the machine stops. */
export function writeFileWhole(path: string, text: string, mode: number): void {
  const draft = `${path}.${randomUUID()}`;
  const file = openSync(draft, "wx", mode);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
}
