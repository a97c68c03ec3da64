/** @file What every blob store says of a key or a blob that is not as it should be. */
import { FarmError } from "../core/errors.js";
import type { BlobRef } from "./blob-store.js";

export function badKey(key: string): FarmError {
  const shown = JSON.stringify(key.slice(0, 80));
  const legal = '"/"-separated segments of [A-Za-z0-9._-], none starting with a dot';
  return new FarmError("invalid-argument", `${shown} is no blob key: ${legal}`);
}

export function missingBlob({ key: blobKey }: BlobRef): FarmError {
  return new FarmError("blob-missing", `blob ${blobKey} is not in the store`, { blobKey });
}

export function corruptBlob({ key: blobKey, size, sha256 }: BlobRef): FarmError {
  const expected = `${size} bytes of sha256 ${sha256}`;
  const detail = `blob ${blobKey} is not the ${expected} it should be`;
  return new FarmError("blob-corrupt", detail, { blobKey });
}
