import { describe, expect, test } from "vitest";
import { ALIGN_YOUR_STEPS_SIGMAS } from "./request-lists.js";
import { type RawParameters, resolveParameters } from "./validate-request.js";

const model = { numFrames: 3, sampleSize: 16, vaeScaleFactor: 4, numTrainTimesteps: 1000 };

function resolve(raw: RawParameters) {
  const context = { model, imageCount: 1, drawnSeed: 42, hasFfmpeg: true };
  const resolved = resolveParameters(raw, context);
  if ("parameters" in resolved) return resolved.parameters;
  return resolved.violations.map(({ field, description }) => `${field}: ${description}`);
}

describe("presets", () => {
  test.each([
    ["svd", 14, 25],
    ["svd-xt", 25, 30],
    ["svd-xt-1.1", 25, 30],
    ["SVD-XT", 25, 30],
  ])("%s: %i frames, %i steps", (preset, numFrames, numInferenceSteps) => {
    const svd = { height: 576, width: 1024, fps: 7, motionBucketId: 127 };
    expect(resolve({ preset })).toMatchObject({ ...svd, numFrames, numInferenceSteps });
  });

  test("what is said goes first", () => {
    const said = { preset: "svd-xt", numFrames: 8, fps: "12", numInferenceSteps: 4, height: 64 };
    const expected = { numFrames: 8, fps: 12, numInferenceSteps: 4, height: 64, width: 1024 };
    expect(resolve(said)).toMatchObject(expected);
  });
});

describe("schedules", () => {
  test("align-your-steps is its list of ten steps, whatever the preset's", () => {
    const expected = { sigmas: ALIGN_YOUR_STEPS_SIGMAS, numInferenceSteps: null };
    expect(resolve({ schedule: "align-your-steps" })).toMatchObject(expected);
    expect(resolve({ schedule: "align-your-steps", preset: "svd" })).toMatchObject(expected);
    expect(resolve({ schedule: "align-your-steps", numInferenceSteps: 10 })).toMatchObject(
      expected,
    );
  });

  test("default is the scheduler's own", () => {
    expect(resolve({ schedule: "default" })).toMatchObject({ sigmas: null, numInferenceSteps: 25 });
  });
});

describe("guidance", () => {
  test.each([
    ["nothing said", {}, { kind: "linear" }, 1, 3],
    ["a triangle", { guidance: "triangle" }, { kind: "triangle" }, 1, 3],
    ["constant", { guidance: "constant", maxGuidanceScale: 2 }, { kind: "constant" }, 2, 2],
    ["a list", { guidance: "1,2.5,1" }, { kind: "frames", scales: [1, 2.5, 1] }, 1, 2.5],
    [
      "a list from the wire",
      { guidance: { kind: "frames", scales: [0, 0, 4] } },
      { kind: "frames", scales: [0, 0, 4] },
      0,
      4,
    ],
  ])("%s", (_case, raw, guidance, min, max) => {
    const expected = { guidance, minGuidanceScale: min, maxGuidanceScale: max };
    expect(resolve(raw)).toMatchObject(expected);
  });
});

test.each(["stretch", "crop", "pad"])("fit %s", (fit) => {
  expect(resolve({ fit })).toMatchObject({ fit });
});

describe("refused:", () => {
  const kinds = "legal are linear, triangle, constant, or a list of one scale a frame";
  test.each<[string, RawParameters, string]>([
    [
      "no such preset",
      { preset: "sdv" },
      "preset: 'sdv' is unknown; legal are svd, svd-xt, svd-xt-1.1, did you mean 'svd'?",
    ],
    ["no such fit", { fit: "zoom" }, "fit: 'zoom' is unknown; legal are stretch, crop, pad"],
    [
      "no such schedule",
      { schedule: "karras" },
      "schedule: 'karras' is unknown; legal are default, align-your-steps",
    ],
    [
      "a schedule beside sigmas",
      { schedule: "align-your-steps", sigmas: [2, 1] },
      "schedule: contradicts sigmas; leave one of them out",
    ],
    [
      "a schedule of other steps",
      { schedule: "align-your-steps", numInferenceSteps: 9 },
      "num_inference_steps: '9' contradicts schedule, whose 11 values make 10 steps; leave one of them out",
    ],
    [
      "no such guidance",
      { guidance: "linera" },
      `guidance: 'linera' is unknown; ${kinds}, did you mean 'linear'?`,
    ],
    ["the word for a list", { guidance: "frames" }, `guidance: 'frames' is unknown; ${kinds}`],
    [
      "too few scales",
      { guidance: "1,2" },
      "guidance: lists 2 scales for 3 frames; give one a frame, or linear, triangle or constant",
    ],
    [
      "a scale that is none",
      { guidance: "1,x,2" },
      "guidance: 'x', scale 2 of 3, is no number from 0 to 100",
    ],
    [
      "a scale too large",
      { guidance: { kind: "frames", scales: [1, 2, 101] } },
      "guidance: '101', scale 3 of 3, is no number from 0 to 100",
    ],
    [
      "ends beside a list",
      { guidance: "1,2,3", maxGuidanceScale: 4 },
      "max_guidance_scale: '4' contradicts the scales that guidance lists; leave it out",
    ],
    [
      "two scales of a constant",
      { guidance: "constant", minGuidanceScale: 1 },
      "min_guidance_scale: '1' contradicts a constant guidance, whose one scale is max_guidance_scale; leave it out",
    ],
  ])("%s", (_case, raw, message) => {
    expect(resolve(raw)).toEqual([message]);
  });
});
