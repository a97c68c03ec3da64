import sharp from "sharp";
import { expect, test } from "vitest";
import { PREVIEW_BYTES_MAX } from "../../../shared/farm/limits.js";
import { rgbPicture } from "../../diffusion/rgb-picture.js";
import { encodePreview } from "./preview-webp.js";

/** Nothing is harder to make small. */
function noise(width: number, height: number) {
  let state = 1;
  const next = () => {
    state = (state * 48_271) % 2_147_483_647;
    return state % 256;
  };
  return rgbPicture(width, height, Uint8Array.from({ length: width * height * 3 }, next));
}

test("the largest strip of noise still fits a control message, at half its size", async () => {
  const file = await encodePreview(noise(1024, 72));
  expect(file!.length).toBeLessThanOrEqual(PREVIEW_BYTES_MAX);
  expect(await sharp(file!).metadata()).toMatchObject({ format: "webp", width: 512, height: 36 });
});

test("what cannot be made small enough is not shown", async () => {
  expect(await encodePreview(noise(2048, 1024))).toBe(null);
});
