import sharp from "sharp";
import { expect, test } from "vitest";
import { rgbPicture } from "../gpu-node/diffusion/rgb-picture.js";
import { blocksOf, previewLines } from "./preview-blocks.js";

test("two pixels a character: the upper one is the letter's colour, the lower one the ground's", () => {
  const data = Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3);
  expect(blocksOf(rgbPicture(2, 2, data))).toEqual([
    "\x1b[38;2;255;0;0;48;2;0;0;255m\u2580\x1b[38;2;0;255;0;48;2;1;2;3m\u2580\x1b[0m",
  ]);
});

test.each([
  ["a narrow terminal", 41, 40, 1],
  ["a wide one", 400, 120, 4],
])("a strip as wide as %s allows", async (_case, columns, width, lines) => {
  const create = { width: 1024, height: 72, channels: 3 as const, background: "#ff0000" };
  const image = await sharp({ create }).webp().toBuffer();
  const shown = await previewLines(image, columns);
  expect(shown).toHaveLength(lines);
  expect(shown[0]!.split("\u2580")).toHaveLength(width + 1);
});
