import { expect, test } from "vitest";
import { isGuided, planChunks, stepCount } from "./parameters.js";

test.each([
  [1, 3, true],
  [3, 1, true],
  [1, 1, false],
  [0, 1.001, true],
  [0.5, 0, false],
])("a ramp from %d to %d has two halves: %s", (minGuidanceScale, maxGuidanceScale, guided) => {
  expect(isGuided({ minGuidanceScale, maxGuidanceScale })).toBe(guided);
});

test.each([
  [5, 2, ["0+2", "2+2", "4+1"]],
  [4, 4, ["0+4"]],
  [1, 8, ["0+1"]],
])("%d frames in chunks of %d", (frames, size, expected) => {
  const chunks = planChunks(frames, size).map((c) => `${c.firstFrame}+${c.frameCount}`);
  expect(chunks).toEqual(expected);
});

test("n custom sigmas make n - 1 steps", () => {
  expect(stepCount({ numInferenceSteps: null, sigmas: [700, 1, 0] })).toBe(2);
  expect(stepCount({ numInferenceSteps: 25, sigmas: null })).toBe(25);
});
