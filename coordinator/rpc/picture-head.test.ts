import fc from "fast-check";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { PICTURE_HEAD_BYTES, pictureProblem } from "./picture-head.js";

const FORMATS = ["png", "jpeg", "webp"] as const;

const picture = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: "teal" } });

const tooLarge = (width: number, height: number) =>
  `has ${width} x ${height} pixels, more than 16777216 (4096 x 4096); make it smaller`;

/** As much of a png as says how large it is. */
function pngHead(width: number, height: number): Buffer {
  const size = Buffer.alloc(8);
  size.writeUInt32BE(width, 0);
  size.writeUInt32BE(height, 4);
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "latin1"), size]);
}

describe("from the beginning of a file", () => {
  test.each(FORMATS)("a %s that is too large is told, one that is not is not", async (format) => {
    const fits = await picture(4096, 16).toFormat(format).toBuffer();
    const vast = await picture(8192, 2049).toFormat(format).toBuffer();
    expect(pictureProblem(fits)).toBeNull();
    expect(pictureProblem(vast.subarray(0, 4_096))).toBe(tooLarge(8192, 2049));
  });

  test("the size of a jpeg is found behind what cameras write before it", async () => {
    const exif = { IFD0: { ImageDescription: "x".repeat(60_000) } };
    const vast = await picture(8192, 2049).withExif(exif).jpeg().toBuffer();
    expect(pictureProblem(vast.subarray(0, PICTURE_HEAD_BYTES))).toBe(tooLarge(8192, 2049));
  });

  test("no number of pixels is too large to be told", () => {
    expect(pictureProblem(pngHead(20_000, 20_000))).toBe(tooLarge(20_000, 20_000));
    expect(pictureProblem(pngHead(0xffffffff, 0xffffffff))).toMatch(/^has 4294967295 x 4294967295/);
  });

  test("what is no picture is told", () => {
    expect(pictureProblem(Buffer.from("hello"))).toMatch(/^is neither png, jpeg nor webp/);
    expect(pictureProblem(new Uint8Array())).toMatch(/^is neither png, jpeg nor webp/);
  });

  const HEADS = ["\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "RIFF\0\0\0\0WEBP"];

  test("what is damaged is left to the node that decodes it, and never thrown", () => {
    expect(HEADS.map((head) => pictureProblem(Buffer.from(head, "latin1")))).toEqual([
      null,
      null,
      null,
    ]);
    const files = fc.tuple(fc.constantFrom(...HEADS), fc.uint8Array({ maxLength: 300 }));
    fc.assert(
      fc.property(files, ([head, rest]) => {
        const problem = pictureProblem(Buffer.concat([Buffer.from(head, "latin1"), rest]));
        return problem === null || problem.startsWith("has ");
      }),
      { numRuns: 2_000 },
    );
  });
});
