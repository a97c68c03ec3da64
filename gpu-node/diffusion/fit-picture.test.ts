import { describe, expect, test } from "vitest";
import { fitPicture } from "./fit-picture.js";
import { type RgbPicture, rgbPicture } from "./rgb-picture.js";

/** Pixel (x, y) is [x, y, 255]. */
function gradient(width: number, height: number): RgbPicture {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) data.set([i % width, Math.floor(i / width), 255], i * 3);
  return rgbPicture(width, height, data);
}
const pixel = ({ width, data }: RgbPicture, x: number, y: number) => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];
const sizeOf = ({ width, height }: RgbPicture) => [width, height];

test.each(["stretch", "crop", "pad"] as const)("%s leaves a picture that fits as it is", (fit) => {
  const picture = gradient(32, 16);
  expect(fitPicture(picture, { width: 64, height: 32 }, fit)).toBe(picture);
});

test("stretch is the networks' own doing", () => {
  const picture = gradient(40, 10);
  expect(fitPicture(picture, { width: 16, height: 16 }, "stretch")).toBe(picture);
});

describe("crop", () => {
  test.each([
    ["a wide picture loses its sides", 40, 10, [10, 10], [15, 0]],
    ["a tall one its ends", 10, 40, [10, 10], [0, 15]],
    ["sides of a single pixel never come out", 3, 200, [3, 3], [0, 98]],
    ["a very wide one keeps two columns", 200, 2, [2, 2], [99, 0]],
  ])("%s", (_case, width, height, size, [x, y]) => {
    const cropped = fitPicture(gradient(width, height), { width: 16, height: 16 }, "crop");
    expect(sizeOf(cropped)).toEqual(size);
    expect(pixel(cropped, 0, 0)).toEqual([x, y, 255]);
  });
});

describe("pad", () => {
  test.each([
    ["a wide picture gets bars above and below", 40, 10, { rows: [6, 9] }],
    ["a tall one at its sides", 10, 40, { columns: [6, 9] }],
  ])("%s", (_case, width, height, { rows, columns }: { rows?: number[]; columns?: number[] }) => {
    const padded = fitPicture(gradient(width, height), { width: 16, height: 16 }, "pad");
    expect(sizeOf(padded)).toEqual([16, 16]);
    for (let i = 0; i < 256; i++) {
      const [x, y] = [i % 16, Math.floor(i / 16)];
      const at = rows ? y : x;
      const [first, last] = (rows ?? columns)!;
      const isBlack = at < first! || at > last!;
      expect(pixel(padded, x, y)[2]).toBe(isBlack ? 0 : 255);
    }
  });

  test("a picture of extreme proportions takes no more room than the clip", () => {
    const padded = fitPicture(gradient(2, 4000), { width: 16, height: 16 }, "pad");
    expect(sizeOf(padded)).toEqual([16, 16]);
    expect(padded.data.some((value) => value > 0)).toBe(true);
  });
});
