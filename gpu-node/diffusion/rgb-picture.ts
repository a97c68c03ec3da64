/** @file A decoded picture: 8 bits a channel, red, green, blue, no alpha, already turned upright. */
import { assert } from "../../shared/core/assert.js";

export interface RgbPicture {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3], values 0..255. */
  readonly data: Uint8Array;
}

/** Joins size and pixels; a mismatch is a bug of the caller. */
export function rgbPicture(width: number, height: number, data: Uint8Array): RgbPicture {
  assert(
    width >= 1 && height >= 1 && data.length === width * height * 3,
    `${width}x${height} RGB pixels, not ${data.length} bytes`,
  );
  return { width, height, data };
}

/** 2 · (byte / 255) - 1 for every byte, rounded to float32 after each operation. */
export const SIGNED_UNIT: Float32Array = Float32Array.from(
  { length: 256 },
  (_, byte) => 2 * Math.fround(byte / 255) - 1,
);
