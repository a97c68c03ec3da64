/**
 * @file BlobStore in a directory, shared by the processes of one machine.
 *
 * A blob is written to a temporary file, synced and renamed, so a reader sees all of it or nothing,
 * also after a crash. Temporary files lie in ".tmp", a name that no key can have.
 */
import { createHash, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import {
  link,
  lstat,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  unlink,
} from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { FarmError } from "../../core/errors.js";
import { badKey, corruptBlob, missingBlob } from "../../ports/blob-errors.js";
import { isBlobKey } from "../../ports/blob-key.js";
import type { BlobEntry, BlobRef, BlobStore } from "../../ports/blob-store.js";
import { asUnreachable, syncDirectory, systemErrorCode, writeWhole } from "./durable.js";

type Pieces = Uint8Array | AsyncIterable<Uint8Array>;

const TEMPORARY_FOLDER = ".tmp";
/** Bytes of one piece of a read. */
const PIECE_BYTES = 64 * 1024;
/** A temporary file this old belongs to a process that died in the middle of a put. */
const ABANDONED_AFTER_MS = 3_600_000;

export class FileBlobStore implements BlobStore {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  /**
   * Opens a store, making its directory where it is missing.
   *
   * @throws FarmError "unreachable" when the directory cannot be made or written
   */
  static async open(directory: string): Promise<FileBlobStore> {
    try {
      await mkdir(join(directory, TEMPORARY_FOLDER), { recursive: true });
      const root = await realpath(directory);
      await removeAbandoned(join(root, TEMPORARY_FOLDER));
      return new FileBlobStore(root);
    } catch (error) {
      throw asUnreachable(`cannot open the blob folder ${directory}`, error);
    }
  }

  async put(key: string, pieces: Pieces): Promise<BlobRef> {
    return this.#stored(key, pieces, async (temporary, path, ref) => {
      await rename(temporary, path);
      await syncDirectory(dirname(path));
      return ref;
    });
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<"created" | "exists"> {
    return this.#stored(key, bytes, async (temporary, path) => {
      try {
        // Unlike a rename, a link never replaces what is there: the file system names the winner.
        await link(temporary, path);
      } catch (error) {
        if (systemErrorCode(error) === "EEXIST") return "exists";
        throw error;
      }
      await syncDirectory(dirname(path));
      return "created";
    });
  }

  async get(ref: BlobRef): Promise<Uint8Array> {
    let bytes = new Uint8Array(0);
    let at = 0;
    for await (const piece of this.read(ref)) {
      // Only now is it known that the store has as many bytes as the reference says.
      if (at === 0) bytes = new Uint8Array(ref.size);
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  async *read(ref: BlobRef): AsyncIterable<Uint8Array> {
    const file = await this.#openBlob(ref);
    try {
      const hash = createHash("sha256");
      let at = 0;
      do {
        const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, ref.size - at));
        const { bytesRead } = await file.read(piece, 0, piece.length, at);
        at += bytesRead;
        hash.update(piece.subarray(0, bytesRead));
        const isLast = at === ref.size;
        if (isLast ? hash.digest("hex") !== ref.sha256 : bytesRead === 0) throw corruptBlob(ref);
        if (bytesRead > 0) yield piece.subarray(0, bytesRead);
      } while (at < ref.size);
    } catch (error) {
      throw asUnreachable(`cannot read blob ${ref.key}`, error);
    } finally {
      await file.close();
    }
  }

  async removeAll(prefix: string): Promise<number> {
    // "a/b/" stands for all in a folder; an empty prefix would be the whole store and is refused.
    if (!isBlobKey(prefix.endsWith("/") ? `${prefix}x` : prefix)) throw badKey(prefix);
    const slash = prefix.lastIndexOf("/");
    const folder = slash < 0 ? this.#root : this.#pathOf(prefix.slice(0, slash));
    try {
      let removed = 0;
      for (const name of await namesIn(folder)) {
        if (name === TEMPORARY_FOLDER || !name.startsWith(prefix.slice(slash + 1))) continue;
        removed += await countFiles(join(folder, name));
        await rm(join(folder, name), { recursive: true, force: true });
      }
      return removed;
    } catch (error) {
      throw asUnreachable(`cannot remove blobs under ${prefix}`, error);
    }
  }

  async *list(prefix: string): AsyncIterable<BlobEntry> {
    const slash = prefix.lastIndexOf("/");
    if (prefix !== "" && !isBlobKey(`${prefix}x`)) throw badKey(prefix);
    const folder = slash < 0 ? this.#root : this.#pathOf(prefix.slice(0, slash));
    try {
      for (const path of await filesUnder(folder)) {
        const key = relative(this.#root, path).split(sep).join("/");
        if (!key.startsWith(prefix) || !isBlobKey(key)) continue;
        // A blob that is removed while the listing goes on is not in it.
        const stats = await stat(path).catch(() => null);
        if (stats?.isFile()) yield { key, size: stats.size, putAtMs: stats.mtimeMs };
      }
    } catch (error) {
      throw asUnreachable(`cannot list blobs under ${prefix}`, error);
    }
  }

  async remove(key: string): Promise<boolean> {
    const path = this.#pathOf(key);
    try {
      await unlink(path);
      return true;
    } catch (error) {
      if (["ENOENT", "ENOTDIR"].includes(systemErrorCode(error) ?? "")) return false;
      throw asUnreachable(`cannot remove blob ${key}`, error);
    }
  }

  /** The one place where a key becomes a path. */
  #pathOf(key: string): string {
    const path = resolve(this.#root, key);
    if (!isBlobKey(key) || !path.startsWith(this.#root + sep)) throw badKey(key);
    return path;
  }

  /** Writes and syncs a temporary file, hands it to `publish`, and removes what is left of it. */
  async #stored<T>(
    key: string,
    pieces: Pieces,
    publish: (temporary: string, path: string, ref: BlobRef) => Promise<T>,
  ): Promise<T> {
    const path = this.#pathOf(key);
    const temporary = join(this.#root, TEMPORARY_FOLDER, randomUUID());
    try {
      const ref = { key, ...(await writeSynced(temporary, pieces)) };
      await mkdir(dirname(path), { recursive: true });
      await refuseLinks(key, dirname(path));
      return await publish(temporary, path, ref);
    } catch (error) {
      throw asUnreachable(`cannot store blob ${key}`, error);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async #openBlob(ref: BlobRef): Promise<FileHandle> {
    const path = this.#pathOf(ref.key);
    let file: FileHandle;
    try {
      await refuseLinks(ref.key, path);
      // O_NONBLOCK: opening a FIFO that somebody planted must not wait for a writer.
      file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      const isMissing = ["ENOENT", "ENOTDIR"].includes(systemErrorCode(error) ?? "");
      throw isMissing ? missingBlob(ref) : asUnreachable(`cannot read blob ${ref.key}`, error);
    }
    const stats = await file.stat();
    if (stats.isFile() && stats.size === ref.size) return file;
    await file.close();
    throw stats.isFile() ? corruptBlob(ref) : missingBlob(ref);
  }
}

async function writeSynced(path: string, pieces: Pieces): Promise<Omit<BlobRef, "key">> {
  const file = await open(path, "wx", 0o600);
  try {
    const hash = createHash("sha256");
    let size = 0;
    for await (const piece of pieces instanceof Uint8Array ? [pieces] : pieces) {
      hash.update(piece);
      await writeWhole(file, piece, size);
      size += piece.length;
    }
    await file.sync();
    return { sha256: hash.digest("hex"), size };
  } finally {
    await file.close();
  }
}

/** A symbolic link on the way would lead out of the store. */
async function refuseLinks(key: string, path: string): Promise<void> {
  if ((await realpath(path)) === path) return;
  throw new FarmError("unreachable", `blob ${key}: a part of its path is a symbolic link`);
}

async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > ABANDONED_AFTER_MS) await rm(path, { force: true });
  }
}

async function filesUnder(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error) => {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  });
  return found.filter((e) => e.isFile()).map((e) => join(e.parentPath, e.name));
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(systemErrorCode(error) ?? "")) return [];
    throw error;
  }
}

async function countFiles(path: string): Promise<number> {
  if (!(await lstat(path)).isDirectory()) return 1;
  let count = 0;
  for (const name of await readdir(path)) count += await countFiles(join(path, name));
  return count;
}
