/** @file A preview on a terminal: two pixels a character, by the colours of its upper and lower half. */

import { lanczosResize } from "../gpu-node/diffusion/lanczos-resize.js";
import type { RgbPicture } from "../gpu-node/diffusion/rgb-picture.js";
import { decodePicture } from "../gpu-node/stages/picture.js";

const UPPER_HALF = "\u2580";
/** Characters across, where the terminal is wider. */
const COLUMNS_MAX = 120;

/**
 * The lines of a preview, as wide as the terminal allows.
 *
 * @param image   a webp, as WatchJob tells it
 * @param columns of the terminal
 * @throws FarmError "invalid-argument" when it is no picture
 */
export async function previewLines(image: Uint8Array, columns: number): Promise<string[]> {
  const picture = await decodePicture(image, "preview");
  const width = Math.max(1, Math.min(columns - 1, COLUMNS_MAX));
  const height = 2 * Math.max(1, Math.round((picture.height * width) / picture.width / 2));
  return blocksOf(lanczosResize(picture, width, height));
}

/** @param picture of an even height */
export function blocksOf({ width, height, data }: RgbPicture): string[] {
  const colour = (x: number, y: number) => {
    const at = (y * width + x) * 3;
    return `${data[at]};${data[at + 1]};${data[at + 2]}`;
  };
  return Array.from({ length: height / 2 }, (_, row) => {
    const cells = Array.from(
      { length: width },
      (_cell, x) => `\x1b[38;2;${colour(x, 2 * row)};48;2;${colour(x, 2 * row + 1)}m${UPPER_HALF}`,
    );
    return `${cells.join("")}\x1b[0m`;
  });
}
