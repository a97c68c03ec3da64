/** @file A preview's pixels to a file small enough for a control message. */
import sharp from "sharp";
import { PREVIEW_BYTES_MAX } from "../../../shared/farm/limits.js";
import type { RgbPicture } from "../../diffusion/rgb-picture.js";

/** From good to just recognizable; a strip of noise, as of a first step, only fits at half its size. */
const ATTEMPTS = [
  { quality: 75, scale: 1 },
  { quality: 40, scale: 1 },
  { quality: 15, scale: 1 },
  { quality: 15, scale: 0.5 },
];

/** @returns a webp of at most `PREVIEW_BYTES_MAX` bytes; null when there is none */
export async function encodePreview({
  width,
  height,
  data,
}: RgbPicture): Promise<Uint8Array | null> {
  for (const { quality, scale } of ATTEMPTS) {
    const strip = sharp(data, { raw: { width, height, channels: 3 } });
    if (scale < 1) strip.resize(Math.ceil(width * scale), Math.ceil(height * scale));
    const file = await strip.webp({ quality, effort: 1 }).toBuffer();
    if (file.length <= PREVIEW_BYTES_MAX) return file;
  }
  return null;
}
