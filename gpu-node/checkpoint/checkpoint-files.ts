/**
 * @file Finds and opens the files of a checkpoint folder that nobody vouches for.
 *
 * Every file is resolved to its real place first: a Hugging Face cache consists of links, and
 * onnxruntime refuses links. What is not a regular file, or lies elsewhere, is refused.
 */
import { constants } from "node:fs";
import { type FileHandle, lstat, open, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { FarmError } from "../../shared/core/errors.js";
import { parseStrictJson } from "../../shared/core/strict-json.js";

/** A checkpoint's folder, resolved. */
export interface CheckpointRoot {
  /** Real, absolute. */
  readonly path: string;
  /**
   * Where a Hugging Face cache keeps the bytes that its snapshot folders link to; null elsewhere.
   *
   * @source https://huggingface.co/docs/huggingface_hub/guides/manage-cache
   */
  readonly blobs: string | null;
}

/** A regular file of a checkpoint. */
export interface CheckpointFile {
  /** Inside the checkpoint, with forward slashes: "unet/config.json". */
  readonly name: string;
  /** Real, absolute. */
  readonly folder: string;
  /** Its name in `folder`: another than in `name` where that is a link. */
  readonly fileName: string;
  readonly byteLength: number;
}

/** @throws FarmError "checkpoint-invalid" when the folder does not exist or is no folder */
export async function resolveRoot(folder: string): Promise<CheckpointRoot> {
  const path = await realpath(folder).catch((cause: unknown) => {
    throw problem(folder, `no such folder (${codeOf(cause)})`, cause);
  });
  if (!(await stat(path)).isDirectory()) throw problem(folder, "is not a folder");
  const snapshots = dirname(path);
  const blobs = basename(snapshots) === "snapshots" ? join(dirname(snapshots), "blobs") : null;
  return { path, blobs };
}

/**
 * A file of the checkpoint.
 *
 * @param name inside the checkpoint
 * @returns null when there is nothing of this name
 * @throws FarmError "checkpoint-invalid" when it is a broken link, not a regular file, not readable, or
 *   lies outside the checkpoint
 */
export async function findFile(root: CheckpointRoot, name: string): Promise<CheckpointFile | null> {
  const path = join(root.path, name);
  try {
    await lstat(path);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return null;
    throw problem(name, `cannot be read (${codeOf(cause)})`, cause);
  }
  const real = await realpath(path).catch((cause: unknown) => {
    throw problem(name, `is a broken link (${codeOf(cause)})`, cause);
  });
  const homes = root.blobs === null ? [root.path] : [root.path, root.blobs];
  if (!homes.some((home) => real.startsWith(home + sep))) {
    throw problem(name, `links to ${real}, outside the checkpoint; copy the file into its place`);
  }
  const file = { name, folder: dirname(real), fileName: basename(real) };
  return withFile(file, async (handle) => ({ ...file, byteLength: (await handle.stat()).size }));
}

/** As `findFile`, for a file that must be there. */
export async function needFile(root: CheckpointRoot, name: string): Promise<CheckpointFile> {
  const file = await findFile(root, name);
  if (file === null) throw problem(name, "missing");
  return file;
}

/**
 * Opens a file for the time of an action.
 *
 * @throws FarmError "checkpoint-invalid" when it cannot be opened or is not a regular file
 */
export async function withFile<T>(
  file: Omit<CheckpointFile, "byteLength">,
  action: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  // Without O_NONBLOCK, opening a pipe waits until somebody writes into it.
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
  const handle = await open(join(file.folder, file.fileName), flags).catch((cause: unknown) => {
    throw problem(file.name, `cannot be opened (${codeOf(cause)})`, cause);
  });
  try {
    if (!(await handle.stat()).isFile()) throw problem(file.name, "is not a regular file");
    return await action(handle);
  } finally {
    await handle.close();
  }
}

/**
 * The bytes [0, end) of a file.
 *
 * @throws FarmError "checkpoint-invalid" when the file is shorter
 */
export async function readBeginning(file: CheckpointFile, end: number): Promise<Buffer> {
  return withFile(file, async (handle) => {
    const bytes = Buffer.allocUnsafe(end);
    let filled = 0;
    while (filled < end) {
      const { bytesRead } = await handle.read(bytes, filled, end - filled, filled);
      if (bytesRead === 0) throw problem(file.name, `ends at byte ${filled}, expected ${end}`);
      filled += bytesRead;
    }
    return bytes;
  });
}

/** A config has two levels, an index three. */
const JSON_DEPTH_MAX = 16;

/**
 * A JSON file of at most `bytesMax`.
 *
 * @throws FarmError "checkpoint-invalid" too big, not UTF-8, not JSON, or a key twice
 */
export async function readJson(file: CheckpointFile, bytesMax: number): Promise<unknown> {
  if (file.byteLength > bytesMax) {
    throw problem(file.name, `has ${file.byteLength} bytes, at most ${bytesMax} are read`);
  }
  const bytes = await readBeginning(file, file.byteLength);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return parseStrictJson(text, { depthMax: JSON_DEPTH_MAX });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw problem(file.name, `is not valid JSON: ${reason}`, cause);
  }
}

/** One problem of a checkpoint as an error. */
export function problem(field: string, description: string, cause?: unknown): FarmError {
  return new FarmError("checkpoint-invalid", `${field}: ${description}`, {
    violations: [{ field, description }],
    ...(cause === undefined ? {} : { cause }),
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
