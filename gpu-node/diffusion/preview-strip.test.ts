import { describe, expect, test } from "vitest";
import { tensor } from "../../shared/tensor/tensor.js";
import { eulerStep } from "./euler-step.js";
import { isPreviewStep, previewStrip } from "./preview-strip.js";

/** The first channel is grey, 0 is the middle. */
const GREY = tensor([2, 3], Float32Array.of(1, 1, 1, 0, 0, 0));

describe("which steps are shown", () => {
  test.each([
    [25, [3, 6, 9, 12, 15, 18, 21, 24, 25]],
    [10, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
    [1, [1]],
  ])("of %i", (count, expected) => {
    const steps = Array.from({ length: count }, (_, i) => i + 1);
    expect(steps.filter((step) => isPreviewStep(step, count))).toEqual(expected);
  });

  test("of a thousand, no more than of a hundred", () => {
    const shown = Array.from({ length: 1000 }, (_, i) => i + 1).filter((s) =>
      isPreviewStep(s, 1000),
    );
    expect(shown.length).toBeLessThan(12);
  });
});

test("the predicted original of the step, whatever the model predicts", () => {
  const before = Float32Array.of(0.5, -0.5, 0.25, 0.75);
  const original = Float32Array.of(-1, 1, 0, 0.5);
  const [sigma, sigmaNext] = [2, 0.5];
  // A model that predicts noise says (x - x0) / sigma.
  const modelOutput = before.map((x, i) => (x - original[i]!) / sigma);
  const after = new Float32Array(4);
  const step = { modelOutput, latents: before, sigma, sigmaNext, out: after };
  eulerStep({ ...step, predictionType: "epsilon", dtype: "float32" });
  const shape = [1, 1, 2, 2];
  const made = { before: tensor(shape, before), after: tensor(shape, after), sigma, sigmaNext };
  const strip = previewStrip(made, GREY);
  expect([strip.width, strip.height]).toEqual([2, 2]);
  const grey = [...strip.data].filter((_, i) => i % 3 === 0);
  expect(grey).toEqual([0, 255, 128, 191]);
});

describe("frames side by side", () => {
  const clip = (frames: number, h: number, w: number) => {
    const data = Float32Array.from({ length: frames * h * w }, (_, i) => {
      const frame = Math.floor(i / (h * w));
      return (frame / Math.max(1, frames - 1)) * 2 - 1;
    });
    const latents = tensor([frames, 1, h, w], data);
    return previewStrip({ before: latents, after: latents, sigma: 1, sigmaNext: 0 }, GREY);
  };

  test.each([
    ["all of a few", 3, 4, 4, [0, 128, 255]],
    ["one of one", 1, 4, 4, [0]],
    [
      "eight of many, the first and the last among them",
      25,
      4,
      4,
      [0, 32, 74, 106, 149, 181, 223, 255],
    ],
  ])("%s", (_case, frames, h, w, expected) => {
    const strip = clip(frames, h, w);
    expect([strip.width, strip.height]).toEqual([expected.length * w, h]);
    const first = expected.map((_, i) => strip.data[i * w * 3]!);
    for (const [i, grey] of first.entries())
      expect(Math.abs(grey - expected[i]!)).toBeLessThanOrEqual(1);
  });

  test("a large clip is shown smaller", () => {
    const strip = clip(25, 288, 512);
    expect([strip.width, strip.height]).toEqual([1024, 72]);
  });
});
