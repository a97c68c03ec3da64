/** @file The inputs of a new job: there, whole, and what they are said to be. */
import { gathered, refuseViolations, type Violation } from "../../shared/core/errors.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";
import { checkInputKey } from "./inputs.js";
import { PICTURE_HEAD_BYTES, pictureProblem } from "./picture-head.js";

interface Inputs {
  readonly images: readonly BlobRef[];
  readonly latents: BlobRef | null;
}

/** A batch of thousands is read in time from a store that is far away. */
const READS_AT_ONCE = 16;

/**
 * Reading an input through is the only way to know that it is there and whole. Whether a picture can be
 * decoded is a node's to find out; whether it is one at all, and not too large, is told before anything
 * is made.
 *
 * @param owner whose inputs alone may be named; null: everybody's
 * @throws FarmError "invalid-argument" with every picture that is none or too large, "blob-missing", "blob-corrupt"
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

  const problems = await readThrough(blobs, latents === null ? images : [...images, latents]);
  for (const [i, image] of images.entries()) {
    const description = problems.get(idOf(image));
    if (description) violations.push({ field: `images[${i}]`, description });
  }
  refuseViolations(violations);
}

/** The same picture may stand for many clips. */
const idOf = ({ key, sha256, size }: BlobRef): string => `${key} ${sha256} ${size}`;

/** Each blob once, to its end: what would be wrong with it as a picture. */
async function readThrough(
  blobs: BlobStore,
  refs: readonly BlobRef[],
): Promise<ReadonlyMap<string, string | null>> {
  const distinct = [...new Map(refs.map((ref) => [idOf(ref), ref])).values()].values();
  const problems = new Map<string, string | null>();
  const readOn = async () => {
    for (const ref of distinct) problems.set(idOf(ref), pictureProblem(await headOf(blobs, ref)));
  };
  // They share what is left to read.
  await Promise.all(Array.from({ length: READS_AT_ONCE }, readOn));
  return problems;
}

async function headOf(blobs: BlobStore, ref: BlobRef): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let missing = PICTURE_HEAD_BYTES;
  for await (const piece of blobs.read(ref)) {
    if (missing > 0) pieces.push(piece.subarray(0, missing));
    missing -= piece.length;
  }
  return Buffer.concat(pieces);
}
