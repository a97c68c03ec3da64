import { describe, expect, test } from "vitest";
import type { Guidance } from "../../shared/farm/guidance.js";
import { readGolden } from "../../test/golden/read-golden.js";
import { guidanceScales } from "./guidance.js";

const ramps = [...readGolden("schedulers/steps.safetensors")].filter(([name]) =>
  name.startsWith("ramp/"),
);

/** The scales between 1 and 3. */
const scales = (guidance: Guidance, numFrames: number) =>
  guidanceScales({ minGuidanceScale: 1, maxGuidanceScale: 3, guidance, numFrames });

test.each(ramps)("linear is torch.linspace, bit for bit: %s", (name, expected) => {
  const [minGuidanceScale, maxGuidanceScale, numFrames] = name.split("/").slice(1).map(Number);
  const guided = guidanceScales({
    ...{ minGuidanceScale: minGuidanceScale!, maxGuidanceScale: maxGuidanceScale! },
    ...{ guidance: { kind: "linear" }, numFrames: numFrames! },
  });
  expect(guided).toEqual(expected.data);
});

describe("a triangle", () => {
  test.each([
    ["an odd number of frames reaches the maximum", 5, [1, 2, 3, 2, 1]],
    ["an even number does not", 4, [1, 1 + 4 / 3, 1 + 4 / 3, 1]],
    ["one frame", 1, [1]],
    ["two frames", 2, [1, 1]],
  ])("%s", (_case, frames, expected) => {
    const found = [...scales({ kind: "triangle" }, frames)];
    expect(found).toHaveLength(frames);
    for (const [i, scale] of found.entries()) expect(scale).toBeCloseTo(expected[i]!, 5);
  });

  test("its ends are the same number, so that a loop has no seam", () => {
    for (const frames of [3, 14, 25, 256]) {
      const found = scales({ kind: "triangle" }, frames);
      expect(found[0]).toBe(found[frames - 1]);
    }
  });
});

test("constant has one scale, and a list is taken as it is", () => {
  const constant = { minGuidanceScale: 3, maxGuidanceScale: 3, numFrames: 3 };
  expect([...guidanceScales({ ...constant, guidance: { kind: "constant" } })]).toEqual([3, 3, 3]);
  expect([...scales({ kind: "frames", scales: [1, 2.5, 1] }, 3)]).toEqual([1, 2.5, 1]);
});
