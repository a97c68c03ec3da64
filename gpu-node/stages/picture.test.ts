import { readFileSync } from "node:fs";
import sharp, { type Sharp } from "sharp";
import { describe, expect, test } from "vitest";
import { FarmError } from "../../shared/core/errors.js";
import { PICTURE_PIXELS_MAX } from "../../shared/core/picture-format.js";
import { goldenPath, goldenTensor, readGolden } from "../../test/golden/read-golden.js";
import { decodePicture } from "./picture.js";

const WIDTH = 5;
const HEIGHT = 3;

/** A picture whose pixels are all different, so that any turn or mix-up shows. */
const rgb = Uint8Array.from({ length: HEIGHT * WIDTH * 3 }, (_, i) => (i * 37 + 11) % 256);
const rgba = withChannel(rgb, 3, (pixel) => (pixel * 17) % 256);
const grey = Uint8Array.from({ length: HEIGHT * WIDTH }, (_, i) => (i * 16 + 3) % 256);

function withChannel(values: Uint8Array, channels: number, extra: (pixel: number) => number) {
  const pixels = values.length / channels;
  return Uint8Array.from({ length: pixels * (channels + 1) }, (_, i) => {
    const [pixel, channel] = [Math.floor(i / (channels + 1)), i % (channels + 1)];
    return channel < channels ? values[pixel * channels + channel]! : extra(pixel);
  });
}

function image(values: Uint8Array | Uint16Array, channels: 1 | 2 | 3 | 4) {
  return sharp(values, { raw: { width: WIDTH, height: HEIGHT, channels } });
}

/** The pixels of `rgb` read through a turn: where each pixel of the result comes from. */
function turned(width: number, height: number, from: (x: number, y: number) => [number, number]) {
  const out = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [sx, sy] = from(x, y);
      const at = (sy * WIDTH + sx) * 3;
      out.set(rgb.subarray(at, at + 3), (y * width + x) * 3);
    }
  }
  return { width, height, data: out };
}

describe("pixels equal those of diffusers' load_image:", () => {
  const expected = readGolden("decoded-pictures/pixels.safetensors");

  test.each([...expected.keys()])("%s", async (name) => {
    const picture = await decodePicture(readFileSync(goldenPath(`decoded-pictures/${name}`)), name);
    const { shape, data } = goldenTensor(expected, name);
    expect([picture.height, picture.width, 3]).toEqual(shape);
    expect([...picture.data]).toEqual([...data]);
  });
});

describe("EXIF orientation is applied:", () => {
  const [right, bottom] = [WIDTH - 1, HEIGHT - 1];
  const orientations: [orientation: number, expected: ReturnType<typeof turned>][] = [
    [1, turned(WIDTH, HEIGHT, (x, y) => [x, y])],
    [2, turned(WIDTH, HEIGHT, (x, y) => [right - x, y])],
    [3, turned(WIDTH, HEIGHT, (x, y) => [right - x, bottom - y])],
    [4, turned(WIDTH, HEIGHT, (x, y) => [x, bottom - y])],
    [5, turned(HEIGHT, WIDTH, (x, y) => [y, x])],
    [6, turned(HEIGHT, WIDTH, (x, y) => [y, bottom - x])],
    [7, turned(HEIGHT, WIDTH, (x, y) => [right - y, bottom - x])],
    [8, turned(HEIGHT, WIDTH, (x, y) => [right - y, x])],
  ];
  test.each(orientations)("%i", async (orientation, expected) => {
    for (const format of ["png", "webp"] as const) {
      const options = format === "webp" ? { lossless: true } : {};
      const file = await image(rgb, 3)
        .withMetadata({ orientation })
        .toFormat(format, options)
        .toBuffer();
      expect(await pixels(file)).toEqual(listed(expected));
    }
  });

  test("in a jpeg too", async () => {
    const file = await image(rgb, 3).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    const picture = await decodePicture(file);
    expect([picture.width, picture.height]).toEqual([HEIGHT, WIDTH]);
  });
});

describe("every kind of pixel becomes 8-bit RGB:", () => {
  const greyRgb = Uint8Array.from({ length: grey.length * 3 }, (_, i) => grey[Math.floor(i / 3)]!);
  const greyAlpha = withChannel(grey, 1, (pixel) => pixel);
  const deep = Uint16Array.from({ length: rgb.length }, (_, i) => (i * 4513 + 200) % 65_536);
  const highBytes = Uint8Array.from(deep, (value) => value >> 8);

  const kinds: [name: string, file: () => Promise<Buffer>, expected: Uint8Array][] = [
    ["RGB", () => image(rgb, 3).png().toBuffer(), rgb],
    ["alpha is dropped, not blended", () => image(rgba, 4).png().toBuffer(), rgb],
    [
      "alpha of a lossless webp",
      () => image(rgba, 4).webp({ lossless: true, exact: true }).toBuffer(),
      rgb,
    ],
    ["grey", () => image(grey, 1).toColourspace("b-w").png().toBuffer(), greyRgb],
    ["grey with alpha", () => image(greyAlpha, 2).toColourspace("b-w").png().toBuffer(), greyRgb],
    ["a palette", () => image(rgb, 3).png({ palette: true, dither: 0 }).toBuffer(), rgb],
    ["16 bits: the high byte", () => deepPng(deep), highBytes],
  ];
  test.each(kinds)("%s", async (_name, file, expected) => {
    const picture = await pixels(await file());
    expect(picture).toEqual(listed({ width: WIDTH, height: HEIGHT, data: expected }));
  });

  test("the files above are of the kinds that they stand for", async () => {
    const kindOf = async (file: Promise<Buffer>) => {
      const { space, depth, channels, isPalette } = await sharp(await file).metadata();
      return [space, depth, channels, isPalette ?? false];
    };
    expect(await kindOf(kinds[4]![1]())).toEqual(["b-w", "uchar", 2, false]);
    expect(await kindOf(kinds[5]![1]())).toEqual(["srgb", "uchar", 3, true]);
    expect(await kindOf(kinds[6]![1]())).toEqual(["rgb16", "ushort", 3, false]);
  });

  test("a colour profile changes nothing", async () => {
    const file = await image(rgb, 3).withIccProfile("p3", { attach: true }).png().toBuffer();
    const stored = await sharp(file, { ignoreIcc: true }).raw().toBuffer();
    expect((await sharp(file).metadata()).hasProfile).toBe(true);
    expect([...(await decodePicture(file)).data]).toEqual([...stored]);
  });

  test("of an animation the first frame", async () => {
    const frames = Uint8Array.from([...rgb, ...rgb.map((value) => 255 - value)]);
    const file = await sharp(frames, {
      raw: { width: WIDTH, height: 2 * HEIGHT, channels: 3, pageHeight: HEIGHT },
    })
      .webp({ lossless: true })
      .toBuffer();
    expect((await sharp(file).metadata()).pages).toBe(2);
    expect(await pixels(file)).toEqual(listed({ width: WIDTH, height: HEIGHT, data: rgb }));
  });
});

describe("files that are no picture for us are refused, with the reason:", () => {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>';
  const blank = { width: 4, height: 4, channels: 3 as const, background: "red" };

  const refusals: [name: string, file: () => Uint8Array | Promise<Uint8Array>, message: RegExp][] =
    [
      ["no bytes", () => new Uint8Array(0), /is empty/],
      ["text", () => Buffer.from("not a picture"), /neither png, jpeg nor webp/],
      ["svg", () => Buffer.from(svg), /neither png, jpeg nor webp/],
      ["gif", () => sharp({ create: blank }).gif().toBuffer(), /neither png, jpeg nor webp/],
      ["tiff", () => sharp({ create: blank }).tiff().toBuffer(), /neither png, jpeg nor webp/],
      [
        "an svg that begins like a png",
        () => Buffer.from(`\x89PNG\r\n\x1a\n${svg}`, "latin1"),
        /damaged/,
      ],
      ["a truncated png", () => truncated(noise().png()), /damaged or incomplete png/],
      ["a truncated jpeg", () => truncated(noise().jpeg()), /damaged or incomplete jpeg/],
      ["a truncated webp", () => truncated(noise().webp()), /damaged or incomplete webp/],
      ["a png header alone", () => Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), /damaged/],
      ["a jpeg marker alone", () => Buffer.from([0xff, 0xd8, 0xff]), /damaged/],
      ["one pixel row too many", () => huge(4096, 4097), /4096 x 4097 pixels, more than 16777216/],
      ["a flat giant", () => huge(6000, 6000), /6000 x 6000 pixels/],
      ["a single pixel", () => huge(1, 1), /1x1 pixels; each side needs at least 2/],
      ["CMYK", () => image(rgb, 3).toColourspace("cmyk").jpeg().toBuffer(), /CMYK/],
      ["16-bit grey", () => deepGreyPng(), /16-bit grey/],
    ];
  test.each(refusals)("%s", async (_name, file, message) => {
    const refusal = await decodePicture(await file(), "photo.png").catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(FarmError);
    expect(refusal).toMatchObject({
      code: "invalid-argument",
      violations: [{ field: "photo.png" }],
    });
    expect((refusal as FarmError).message).toMatch(message);
  });

  test("the largest allowed is taken", async () => {
    const picture = await decodePicture(await huge(4096, 4096));
    expect(picture.data.length).toBe(PICTURE_PIXELS_MAX * 3);
  });
});

/** As numbers: vitest compares typed arrays of this length in a readable way only as lists. */
function listed(picture: { width: number; height: number; data: Uint8Array }) {
  return { width: picture.width, height: picture.height, rgb: [...picture.data] };
}

async function pixels(file: Uint8Array) {
  return listed(await decodePicture(file));
}

function deepPng(values: Uint16Array): Promise<Buffer> {
  return image(values, 3).toColourspace("rgb16").png().toBuffer();
}

function deepGreyPng(): Promise<Buffer> {
  const values = Uint16Array.from({ length: WIDTH * HEIGHT }, (_, i) => i * 4000);
  return image(values, 1).toColourspace("grey16").png().toBuffer();
}

function noise() {
  const values = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * i * 31) % 251);
  return sharp(values, { raw: { width: 64, height: 64, channels: 3 } });
}

async function truncated(file: Sharp): Promise<Uint8Array> {
  const bytes = await file.toBuffer();
  return bytes.subarray(0, Math.floor(bytes.length * 0.6));
}

/** Few bytes, many pixels. */
function huge(width: number, height: number): Promise<Buffer> {
  return sharp({
    create: { width, height, channels: 3, background: "black" },
    limitInputPixels: false,
  })
    .png()
    .toBuffer();
}
