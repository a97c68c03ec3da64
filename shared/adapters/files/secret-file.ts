/** @file Files that hold secrets: written whole with mode 0600, refused when everyone may read them. */
import { randomUUID } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  writeSync,
} from "node:fs";
import { FarmError } from "../../core/errors.js";
import { systemErrorCode } from "./durable.js";

const OF_EVERYONE = 0o007;
/** Files that Kubernetes mounts are links through the link of this name, which it swings at a change. */
const MOUNTED = /^\.\.data\//;

/**
 * Text of a file that everyone may not read, see `whyNoSecret`.
 *
 * @param what for messages, e.g. "--tls-key"
 * @throws FarmError "invalid-argument" when it cannot be read, or everyone may read it
 */
export function readSecretFile(path: string, what: string): string {
  const text = readTextFile(path, what);
  const why = whyNoSecret(path);
  if (why !== null) throw new FarmError("invalid-argument", `${what}: ${why}`);
  return text;
}

/**
 * Why a file must hold no secret, and the way out; null: it may.
 *
 * Its group may read it: a mounted Secret of Kubernetes is the group's of its pod. Where one is mounted
 * as a folder, its mode says nothing of who may: 0644 unless the manifest has another, in a folder that
 * no other pod sees, and on its machine root alone. Whoever copies it out of there has a file as any.
 */
export function whyNoSecret(path: string): string | null {
  if (process.platform === "win32" || isMounted(path)) return null;
  if ((statSync(path).mode & OF_EVERYONE) === 0) return null;
  return `everyone on this machine may read ${path}; chmod 600 it, or mount it with defaultMode: 0440`;
}

function isMounted(path: string): boolean {
  return lstatSync(path).isSymbolicLink() && MOUNTED.test(readlinkSync(path));
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
