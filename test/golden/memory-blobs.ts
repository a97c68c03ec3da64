/** @file A blob store for tests: everything in memory, checked as a real one checks it. */
import { createHash } from "node:crypto";
import { FarmError } from "../../shared/core/errors.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";

export interface MemoryBlobs extends BlobStore {
  readonly contents: ReadonlyMap<string, Uint8Array>;
}

export function createMemoryBlobs(): MemoryBlobs {
  const contents = new Map<string, Uint8Array>();

  const get = async (ref: BlobRef): Promise<Uint8Array> => {
    const bytes = contents.get(ref.key);
    if (bytes === undefined) throw new FarmError("blob-missing", ref.key);
    if (sha256(bytes) !== ref.sha256) throw new FarmError("blob-corrupt", ref.key);
    return bytes;
  };
  return {
    contents,
    get,
    async put(key, pieces) {
      const bytes = pieces instanceof Uint8Array ? Uint8Array.from(pieces) : await joined(pieces);
      contents.set(key, bytes);
      return { key, sha256: sha256(bytes), size: bytes.length };
    },
    async putIfAbsent(key, bytes) {
      if (contents.has(key)) return "exists";
      contents.set(key, bytes);
      return "created";
    },
    async *read(ref) {
      yield await get(ref);
    },
    async *list(prefix) {
      for (const [key, { length: size }] of contents) {
        if (key.startsWith(prefix)) yield { key, size, putAtMs: 0 };
      }
    },
    async remove(key) {
      return contents.delete(key);
    },
    async removeAll(prefix) {
      const keys = [...contents.keys()].filter((key) => key.startsWith(prefix));
      for (const key of keys) contents.delete(key);
      return keys.length;
    },
  };
}

async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(Uint8Array.from(piece));
  return Uint8Array.from(Buffer.concat(parts));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
