/** @file BlobRef on the wire. */
import type { BlobRef as WireBlobRef } from "../../../proto/gen/renderfarm/v1/blob.js";
import { isBlobKey } from "../../ports/blob-key.js";
import type { BlobRef } from "../../ports/blob-store.js";
import { present, refuseField, sha256 } from "./wire-checks.js";

export function encodeBlobRef(ref: BlobRef): WireBlobRef {
  return { key: ref.key, sha256: ref.sha256, size: BigInt(ref.size) };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeBlobRef(wire: WireBlobRef | undefined, field: string): BlobRef {
  const { key, size, sha256: digest } = present(wire, field);
  if (!isBlobKey(key)) refuseField(`${field}.key`, `${JSON.stringify(key.slice(0, 80))} is no key`);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) refuseField(`${field}.size`, `${size} is too large`);
  return { key, sha256: sha256(digest, `${field}.sha256`), size: Number(size) };
}
