/** @file The inputs of a new job: there, whole, and what they are said to be. */
import { gathered, refuseViolations, type Violation } from "../../shared/core/errors.js";
import {
  NO_PICTURE,
  PICTURE_HEAD_BYTES,
  pictureFormatOf,
} from "../../shared/core/picture-format.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";
import { checkInputKey } from "./inputs.js";

interface Inputs {
  readonly images: readonly BlobRef[];
  readonly latents: BlobRef | null;
}

/** A batch of thousands is read in time from a store that is far away. */
const READS_AT_ONCE = 16;

/**
 * Reading an input through is the only way to know that it is there and whole. Whether a picture can be
 * decoded is a node's to find out; whether it is one at all is told before anything is made.
 *
 * @param owner whose inputs alone may be named; null: everybody's
 * @throws FarmError "invalid-argument" with every picture that is none, "blob-missing", "blob-corrupt"
 */
export async function checkInputs(
  blobs: BlobStore,
  { images, latents }: Inputs,
  owner: string | null,
): Promise<void> {
  const violations: Violation[] = [];
  const checkKey = (ref: BlobRef, field: string) =>
    gathered(violations, () => checkInputKey(ref, field, owner), undefined);
  for (const [i, image] of images.entries()) checkKey(image, `images[${i}]`);
  if (latents !== null) checkKey(latents, "parameters.latents");
  refuseViolations(violations);

  const heads = await readHeads(blobs, latents === null ? images : [...images, latents]);
  for (const [i, image] of images.entries()) {
    if (pictureFormatOf(heads.get(idOf(image))!) !== null) continue;
    violations.push({ field: `images[${i}]`, description: NO_PICTURE });
  }
  refuseViolations(violations);
}

/** The same picture may stand for many clips. */
const idOf = ({ key, sha256, size }: BlobRef): string => `${key} ${sha256} ${size}`;

/** The first bytes of each blob, all of which is read. */
async function readHeads(
  blobs: BlobStore,
  refs: readonly BlobRef[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  const distinct = [...new Map(refs.map((ref) => [idOf(ref), ref])).values()].values();
  const heads = new Map<string, Uint8Array>();
  const readOn = async () => {
    for (const ref of distinct) heads.set(idOf(ref), await headOf(blobs, ref));
  };
  // They share what is left to read.
  await Promise.all(Array.from({ length: READS_AT_ONCE }, readOn));
  return heads;
}

async function headOf(blobs: BlobStore, ref: BlobRef): Promise<Uint8Array> {
  let head = new Uint8Array();
  for await (const piece of blobs.read(ref)) {
    const missing = PICTURE_HEAD_BYTES - head.length;
    if (missing > 0) head = Buffer.concat([head, piece.subarray(0, missing)]);
  }
  return head;
}
