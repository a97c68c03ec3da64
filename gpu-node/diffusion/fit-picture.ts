/** @file A picture of other proportions than the clip's, before either network sees it. */
import type { Fit } from "../../shared/farm/guidance.js";
import { ANTIALIAS_SIDE_MIN } from "./antialias-resize.js";
import { lanczosResize } from "./lanczos-resize.js";
import { type RgbPicture, rgbPicture } from "./rgb-picture.js";

/** Pixels. */
interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * stretch: the picture as it is, since both networks' inputs are stretched from it · crop: its middle
 * in the clip's proportions · pad: the clip's size, with the picture as large as it fits and black
 * around it.
 *
 * @param size of the clip
 */
export function fitPicture(picture: RgbPicture, size: Size, fit: Fit): RgbPicture {
  // Where nothing is to be cut or added, all three are the same.
  if (fit === "stretch" || picture.width * size.height === picture.height * size.width) {
    return picture;
  }
  return fit === "crop" ? cropped(picture, size) : padded(picture, size);
}

function cropped(picture: RgbPicture, size: Size): RgbPicture {
  const isWider = picture.width * size.height > picture.height * size.width;
  const side = (from: number, to: number, of: number) =>
    Math.min(of, Math.max(ANTIALIAS_SIDE_MIN, Math.round(from * to)));
  const width = isWider
    ? side(picture.height, size.width / size.height, picture.width)
    : picture.width;
  const height = isWider
    ? picture.height
    : side(picture.width, size.height / size.width, picture.height);
  const left = Math.floor((picture.width - width) / 2);
  const top = Math.floor((picture.height - height) / 2);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * picture.width + left) * 3;
    data.set(picture.data.subarray(from, from + width * 3), y * width * 3);
  }
  return rgbPicture(width, height, data);
}

function padded(picture: RgbPicture, { width, height }: Size): RgbPicture {
  const scale = Math.min(width / picture.width, height / picture.height);
  const side = (of: number, max: number) => Math.min(max, Math.max(1, Math.round(of * scale)));
  const inner = lanczosResize(picture, side(picture.width, width), side(picture.height, height));
  const left = Math.floor((width - inner.width) / 2);
  const top = Math.floor((height - inner.height) / 2);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < inner.height; y++) {
    const row = inner.data.subarray(y * inner.width * 3, (y + 1) * inner.width * 3);
    data.set(row, ((top + y) * width + left) * 3);
  }
  return rgbPicture(width, height, data);
}
