/** @file What the beginning of a picture file tells, without decoding it. */
import { imageSize } from "image-size";
import {
  NO_PICTURE,
  pictureFormatOf,
  pictureSizeProblem,
} from "../../shared/core/picture-format.js";

/** A jpeg's size may stand behind a preview and a colour profile; beyond this a node finds out. */
export const PICTURE_HEAD_BYTES = 262_144;

/**
 * What is wrong with a picture; null when nothing is, as far as its beginning tells.
 *
 * @param head its first `PICTURE_HEAD_BYTES`, or all of a smaller one
 */
export function pictureProblem(head: Uint8Array): string | null {
  if (pictureFormatOf(head) === null) return NO_PICTURE;
  const size = sizeOf(head);
  return size && pictureSizeProblem(size.width, size.height);
}

/** Null where the beginning does not tell: damaged, or longer than that. */
function sizeOf(head: Uint8Array): { readonly width: number; readonly height: number } | null {
  try {
    return imageSize(head);
  } catch {
    return null;
  }
}
