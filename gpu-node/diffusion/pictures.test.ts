import sharp from "sharp";
import { describe, expect, test } from "vitest";
import {
  goldenPath,
  goldenTensor,
  maxDifference,
  readGolden,
  readGoldenJson,
} from "../../test/golden/read-golden.js";
import { antialiasResize } from "./antialias-resize.js";
import { CLIP_PIXELS_DEFAULTS, clipPixels, clipPixelsSizeProblem } from "./clip-pixels.js";
import { lanczosResize } from "./lanczos-resize.js";
import { type RgbPicture, rgbPicture } from "./rgb-picture.js";
import { addImageNoise, vaeInput } from "./vae-input.js";

async function decoded(path: string): Promise<RgbPicture> {
  const image = sharp(goldenPath(path)).removeAlpha();
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  return rgbPicture(info.width, info.height, data);
}

/** The same picture that make_more_goldens.py makes: every byte value, hard edges, gradients. */
function patterned(width: number, height: number): RgbPicture {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [c, x, y] = [i % 3, Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return (x * 7 + y * 13 + c * 29) ^ (x * y);
  });
  return rgbPicture(width, height, data);
}

describe("photographs become the reference's model inputs", () => {
  interface Photograph {
    readonly file: string;
    readonly width: number;
    readonly height: number;
  }
  const golden = readGolden("parts/image_preparation.safetensors");

  describe.each(readGoldenJson<Photograph[]>("parts/image_preparation.json"))("$file", (spec) => {
    test("VAE input, bit for bit", async () => {
      const actual = vaeInput(await decoded(`parts/${spec.file}`), spec.width, spec.height);
      expect(actual).toEqual(goldenTensor(golden, `${spec.file}/vae_input`).data);
    });

    test("CLIP pixels", async () => {
      const actual = clipPixels(await decoded(`parts/${spec.file}`), CLIP_PIXELS_DEFAULTS);
      const expected = goldenTensor(golden, `${spec.file}/clip_pixel_values`).data;
      expect(maxDifference(actual, expected)).toBeLessThanOrEqual(5e-5);
    });
  });
});

describe("odd sizes", () => {
  interface Resize {
    readonly key: string;
    readonly kind: "lanczos" | "antialias";
    readonly width: number;
    readonly height: number;
    readonly to_width: number;
    readonly to_height: number;
  }
  const golden = readGolden("pictures/pictures.safetensors");
  const cases = readGoldenJson<Resize[]>("pictures/pictures.json");

  test.each(cases.filter(({ kind }) => kind === "lanczos"))("$key equals Pillow", (spec) => {
    const resized = lanczosResize(
      patterned(spec.width, spec.height),
      spec.to_width,
      spec.to_height,
    );
    expect([resized.width, resized.height]).toEqual([spec.to_width, spec.to_height]);
    expect(Float32Array.from(resized.data)).toEqual(goldenTensor(golden, spec.key).data);
  });

  test.each(cases.filter(({ kind }) => kind === "antialias"))("$key equals torch", (spec) => {
    const source = patterned(spec.width, spec.height);
    const resized = antialiasResize(source, spec.to_width, spec.to_height);
    const expected = goldenTensor(golden, spec.key).data;
    expect(maxDifference(resized, expected)).toBeLessThanOrEqual(1e-5);
  });
});

test("a picture of the clip's own size is not resampled", () => {
  const picture = patterned(16, 8);
  expect(lanczosResize(picture, 16, 8)).toBe(picture);
});

test.each([
  [1, 1, "picture of 1x1 pixels; each side needs at least 2"],
  [1, 500, "picture of 1x500 pixels; each side needs at least 2"],
  [500, 1, "picture of 500x1 pixels; each side needs at least 2"],
  [2, 2, null],
  [4096, 2, null],
])("CLIP pixels of a %dx%d picture: %s", (width, height, problem) => {
  expect(clipPixelsSizeProblem(width, height)).toBe(problem);
  if (problem !== null) {
    const prepare = () => clipPixels(patterned(width, height), CLIP_PIXELS_DEFAULTS);
    expect(prepare).toThrow("bug: expected a side of at least 2 pixels, not 1");
  }
});

describe("noise augmentation", () => {
  test("adds the scaled noise, rounded as float32", () => {
    const image = Float32Array.of(0.5, -1, 0.25);
    addImageNoise(image, Float32Array.of(1, -2, 0.1), 0.02);
    // torch: torch.tensor([.5, -1, .25]) + 0.02 * torch.tensor([1, -2, .1])
    expect([...image]).toEqual([0.5199999809265137, -1.0399999618530273, 0.25200000405311584]);
  });

  test("refuses noise of another size as a bug", () => {
    expect(() => addImageNoise(new Float32Array(2), new Float32Array(3), 1)).toThrow(
      "bug: expected",
    );
  });
});
