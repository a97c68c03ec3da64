import { describe, expect, test } from "vitest";
import { type ClipNoisePlan, drawClipNoise, imageOfClip } from "./clip-noise.js";
import { createTorchGenerator } from "./torch-generator.js";

// Neither is a multiple of 16, so blocks of normals cross the borders of pictures and clips.
const size = { pictureValues: 150, latentValues: 37 };

/** All clips of a batch, as a node each would draw them. */
function drawBatch(batch: Omit<ClipNoisePlan, "clipIndex">, drawLatents = true) {
  return Array.from({ length: batch.clipCount }, (_, clipIndex) =>
    drawClipNoise({ ...batch, clipIndex }, size, drawLatents),
  );
}

test("clips follow their pictures: all clips of the first picture come first", () => {
  const images = [0, 1, 2, 3, 4, 5].map((clipIndex) =>
    imageOfClip({ imageCount: 2, clipCount: 6, clipIndex }),
  );
  expect(images).toEqual([0, 0, 0, 1, 1, 1]);
});

describe("one seed: one generator draws all pictures, then all clips", () => {
  const generator = createTorchGenerator(42n);
  const pictures = generator.randn(2 * size.pictureValues);
  const latents = generator.randn(4 * size.latentValues);
  const clips = drawBatch({ seeds: [42n], imageCount: 2, clipCount: 4 });

  test.each([0, 1, 2, 3])("clip %i", (clip) => {
    const image = Math.floor(clip / 2);
    const { pictureValues: p, latentValues: l } = size;
    expect(clips[clip]!.picture).toEqual(pictures.slice(image * p, (image + 1) * p));
    expect(clips[clip]!.latents).toEqual(latents.slice(clip * l, (clip + 1) * l));
  });
});

describe("a seed a clip", () => {
  const seeds = [11n, 22n, 33n, 44n];
  const clips = drawBatch({ seeds, imageCount: 2, clipCount: 4 });

  test.each([0, 1])("clip %i: its generator has noised a picture before", (clip) => {
    const generator = createTorchGenerator(seeds[clip]!);
    generator.randn(size.pictureValues);
    expect(clips[clip]!.latents).toEqual(generator.randn(size.latentValues));
  });

  test.each([2, 3])("clip %i: its generator is fresh", (clip) => {
    const fresh = createTorchGenerator(seeds[clip]!).randn(size.latentValues);
    expect(clips[clip]!.latents).toEqual(fresh);
  });

  test("picture i is noised by generator i, whatever its clips' generators are", () => {
    const noised = [0, 1].map((image) => createTorchGenerator(seeds[image]!).randn(150));
    expect(clips.map((clip) => clip.picture)).toEqual([noised[0], noised[0], noised[1], noised[1]]);
  });
});

test("latents from a file: the pictures' noise stays as it was", () => {
  for (const seeds of [[7n], [7n, 8n]]) {
    const batch = { seeds, imageCount: 1, clipCount: 2 };
    const given = drawBatch(batch, false);
    expect(given.map((clip) => clip.latents)).toEqual([null, null]);
    expect(given.map((clip) => clip.picture)).toEqual(drawBatch(batch).map((c) => c.picture));
  }
});

test("fewer than 16 values are drawn one by one, as torch draws them", () => {
  const small = { pictureValues: 3, latentValues: 4 };
  const generator = createTorchGenerator(5n);
  const expected = [generator.randn(3), generator.randn(8).slice(4)];
  const clip = drawClipNoise(
    { seeds: [5n], imageCount: 1, clipCount: 2, clipIndex: 1 },
    small,
    true,
  );
  expect([clip.picture, clip.latents]).toEqual(expected);
});

test.each([0, 2, 4])("%i seeds for 3 clips are refused", (count) => {
  const seeds = Array.from({ length: count }, (_, i) => BigInt(i));
  const plan = { seeds, imageCount: 1, clipCount: 3, clipIndex: 0 };
  expect(() => drawClipNoise(plan, size, true)).toThrow("give 1 for the whole batch or 3");
});
