import { describe, expect, test } from "vitest";
import type { JobParameters } from "./parameters.js";
import { ALIGN_YOUR_STEPS_SIGMAS } from "./request-lists.js";
import {
  latentsShapeProblem,
  type RawParameters,
  type RequestContext,
  resolveParameters,
} from "./validate-request.js";

const demo = { numFrames: 14, sampleSize: 16, vaeScaleFactor: 4, numTrainTimesteps: 1000 };
const svd = { numFrames: 25, sampleSize: 96, vaeScaleFactor: 8, numTrainTimesteps: 1000 };
const context: RequestContext = { model: demo, imageCount: 1, drawnSeed: 42, hasFfmpeg: true };

function accepted(raw: RawParameters, change: Partial<RequestContext> = {}): JobParameters {
  const resolved = resolveParameters(raw, { ...context, ...change });
  if (!("parameters" in resolved)) throw new Error(JSON.stringify(resolved.violations));
  return resolved.parameters;
}

function refused(raw: RawParameters, change: Partial<RequestContext> = {}): string[] {
  const resolved = resolveParameters(raw, { ...context, ...change });
  return "violations" in resolved
    ? resolved.violations.map((v) => `${v.field}: ${v.description}`)
    : [];
}

describe("an empty request takes the defaults", () => {
  test("of the reference and of a small checkpoint", () => {
    expect(accepted({})).toEqual({
      height: 64,
      width: 64,
      numFrames: 14,
      numInferenceSteps: 25,
      sigmas: null,
      minGuidanceScale: 1,
      maxGuidanceScale: 3,
      guidance: { kind: "linear" },
      fit: "stretch",
      fps: 7,
      motionBucketId: 127,
      noiseAugStrength: 0.02,
      cacheInterval: 1,
      decodeChunkSize: 14,
      numVideosPerPrompt: 1,
      seeds: [42n],
      latents: null,
      formats: ["mp4"],
      pair: "auto",
      clips: [],
    });
  });

  const sizes: [
    name: string,
    sampleSize: number | null,
    scale: number,
    height: number,
    width: number,
  ][] = [
    ["SVD's own", 96, 8, 576, 1024],
    ["no size in the config", null, 8, 576, 1024],
    ["just below SVD's", 95, 8, 760, 760],
    ["a size that 8 does not divide is rounded up", 9, 4, 40, 40],
  ];
  test.each(sizes)("of size: %s", (_name, sampleSize, vaeScaleFactor, height, width) => {
    const model = { ...demo, sampleSize, vaeScaleFactor };
    expect(accepted({}, { model })).toMatchObject({ height, width });
  });
});

describe("legal at the edge:", () => {
  const legal: [name: string, raw: RawParameters, out: Partial<JobParameters>][] = [
    [
      "numbers as text",
      { numFrames: "25", noiseAugStrength: "1e-1" },
      { numFrames: 25, noiseAugStrength: 0.1 },
    ],
    [
      "a falling guidance ramp",
      { minGuidanceScale: 3, maxGuidanceScale: 1 },
      { minGuidanceScale: 3, maxGuidanceScale: 1 },
    ],
    ["no guidance at all", { maxGuidanceScale: "0" }, { maxGuidanceScale: 0 }],
    ["a chunk longer than the clip is the clip", { decodeChunkSize: 99 }, { decodeChunkSize: 14 }],
    ["sigmas as text", { sigmas: "10, 1,0" }, { sigmas: [10, 1, 0], numInferenceSteps: null }],
    [
      "sigmas that do not end in zero",
      { sigmas: [10, 1] },
      { sigmas: [10, 1], numInferenceSteps: null },
    ],
    [
      "sigmas with the steps they make",
      { sigmas: "10,1,0", numInferenceSteps: "2" },
      { sigmas: [10, 1, 0], numInferenceSteps: null },
    ],
    ["the schedule of align your steps", { sigmas: "AYS" }, { sigmas: ALIGN_YOUR_STEPS_SIGMAS }],
    ["no sigmas, as the wire says it", { sigmas: [] }, { sigmas: null, numInferenceSteps: 25 }],
    ["the largest seed", { seeds: "18446744073709551615" }, { seeds: [2n ** 64n - 1n] }],
    ["a seed a clip", { seeds: "0, 7", numVideosPerPrompt: 2 }, { seeds: [0n, 7n] }],
    ["formats in the order asked for", { formats: "gif,mp4" }, { formats: ["gif", "mp4"] }],
    ["the largest frame", { height: 2048, width: 2048 }, { height: 2048, width: 2048 }],
    ["the smallest frame", { height: 8, width: 4096 }, { height: 8, width: 4096 }],
  ];
  test.each(legal)("%s", (_name, raw, out) => {
    expect(accepted(raw)).toMatchObject(out);
  });

  test("any format but mp4 without ffmpeg", () => {
    expect(accepted({ formats: ["gif"] }, { hasFfmpeg: false }).formats).toEqual(["gif"]);
  });
});

describe("refused:", () => {
  type Case = [name: string, raw: RawParameters, ...says: string[]];
  const wrong: Case[] = [
    [
      "a height that 8 does not divide",
      { height: "577" },
      "height: '577' is no multiple of 8 from 8 to 4096; nearest are 576 and 584",
    ],
    ["a width of zero", { width: 0 }, "width: '0' is no multiple of 8 from 8 to 4096"],
    ["a width beyond all", { width: 4104 }, "width: '4104' is no multiple of 8"],
    ["half a pixel", { height: "64.5" }, "height: '64.5' is no multiple"],
    [
      "an infinite height",
      { height: Number.POSITIVE_INFINITY },
      "height: 'Infinity' is no multiple",
    ],
    [
      "too large a frame",
      { height: 4096, width: 4096 },
      "height: 4096 x width 4096 are 16777216 pixels, legal are up to 4194304",
    ],
    [
      "too large a clip",
      { height: 2048, width: 2048, numFrames: 65 },
      "num_frames: 65 frames of 2048 x 2048",
    ],
    ["no frame", { numFrames: 0 }, "num_frames: '0' is no whole number from 1 to 256"],
    ["too many frames", { numFrames: 257 }, "num_frames: '257'"],
    ["half a frame", { numFrames: "1.5" }, "num_frames: '1.5'"],
    ["a word for a number", { fps: "fast" }, "fps: 'fast' is no whole number from 1 to 240"],
    ["an empty text", { fps: "" }, "fps: '' is no whole number"],
    ["hexadecimal", { fps: "0x10" }, "fps: '0x10' is no whole number"],
    [
      "no step",
      { numInferenceSteps: 0 },
      "num_inference_steps: '0' is no whole number from 1 to 1000",
    ],
    ["more steps than were trained", { numInferenceSteps: 1001 }, "num_inference_steps: '1001'"],
    [
      "negative guidance",
      { minGuidanceScale: "-1" },
      "min_guidance_scale: '-1' is no number from 0 to 100",
    ],
    [
      "guidance that is no number",
      { maxGuidanceScale: "NaN" },
      "max_guidance_scale: 'NaN' is no number",
    ],
    [
      "infinite guidance",
      { maxGuidanceScale: Number.POSITIVE_INFINITY },
      "max_guidance_scale: 'Infinity' is no number",
    ],
    [
      "overflowing guidance",
      { maxGuidanceScale: "1e999" },
      "max_guidance_scale: '1e999' is no number",
    ],
    [
      "negative noise",
      { noiseAugStrength: -0.02 },
      "noise_aug_strength: '-0.02' is no number from 0 to 10",
    ],
    [
      "a motion bucket beyond all",
      { motionBucketId: 1024 },
      "motion_bucket_id: '1024' is no whole number from 0 to 1023",
    ],
    [
      "an empty chunk",
      { decodeChunkSize: "0" },
      "decode_chunk_size: '0' is no whole number of at least 1; 14 decodes all",
    ],
    [
      "no video",
      { numVideosPerPrompt: 0 },
      "num_videos_per_prompt: '0' is no whole number from 1 to 100",
    ],
    ["one sigma", { sigmas: [1] }, "sigmas: has 1 values, legal are 2 to 1001"],
    ["an empty list of sigmas", { sigmas: "" }, "sigmas: has 1 values"],
    [
      "too many sigmas",
      { sigmas: Array.from({ length: 1002 }, (_, i) => 1002 - i) },
      "sigmas: has 1002 values",
    ],
    ["rising sigmas", { sigmas: "1,2,0" }, "sigmas: 2, value 2 of 3, is not below 1 before it"],
    ["equal sigmas", { sigmas: "1,1,0" }, "sigmas: 1, value 2 of 3, is not below 1"],
    [
      "a zero in the middle",
      { sigmas: "2,0,0" },
      "sigmas: 0, value 2 of 3, is zero and not the last",
    ],
    [
      "a sigma that is zero in float32",
      { sigmas: "1,1e-60,0" },
      "sigmas: 1e-60, value 2 of 3, is zero",
    ],
    [
      "a sigma beyond all",
      { sigmas: "1e10,1" },
      "sigmas: 10000000000, value 1 of 2, is above 1000000000",
    ],
    ["a negative sigma", { sigmas: "2,1,-1" }, "sigmas: -1, value 3 of 3, is negative"],
    [
      "a sigma that is no number",
      { sigmas: "2,x" },
      "sigmas: 'x', value 2 of 2, is no finite number",
    ],
    [
      "an infinite sigma",
      { sigmas: [Number.POSITIVE_INFINITY, 1] },
      "sigmas: 'Infinity', value 1 of 2",
    ],
    [
      "steps that contradict the sigmas",
      { sigmas: "2,1,0", numInferenceSteps: 25 },
      "num_inference_steps: '25' contradicts sigmas, whose 3 values make 2 steps",
    ],
    [
      "a seed that is a word",
      { seeds: "abc" },
      "seeds: seed 'abc' is no whole number from 0 to 18446744073709551615",
    ],
    ["a negative seed", { seeds: "-1" }, "seeds: seed '-1' is no whole number"],
    ["a seed of 65 bits", { seeds: "18446744073709551616" }, "seeds: seed '18446744073709551616'"],
    ["two seeds for one clip", { seeds: "1,2" }, "seeds: has 2 values for 1 clip(s)"],
    [
      "two seeds for three clips",
      { seeds: [1n, 2n], numVideosPerPrompt: 3 },
      "legal are 1 (one generator over the whole batch) or 3 (one a clip)",
    ],
    ["no seed in a list", { seeds: [] }, "seeds: has 0 values"],
    [
      "an unknown format",
      { formats: "mp4,avi" },
      "formats: 'avi' is no format; legal are mp4, gif, webp, png, safetensors",
    ],
    ["a format twice", { formats: "mp4,mp4" }, "formats: names mp4 twice"],
    [
      "an unknown pairing",
      { pair: "maybe" },
      "pair: 'maybe' is unknown; legal are auto, always, never",
    ],
  ];
  test.each(wrong)("%s", (_name, raw, ...says) => {
    const found = refused(raw);
    expect(found).toHaveLength(1);
    for (const text of says) expect(found[0]).toContain(text);
  });

  test("mp4 where nothing can write it", () => {
    expect(refused({}, { hasFfmpeg: false })[0]).toContain("formats: mp4 needs ffmpeg");
  });

  test("no picture, and too many clips", () => {
    expect(refused({}, { imageCount: 0 })[0]).toContain("images: there is none");
    expect(refused({}, { imageCount: 1001 })[0]).toContain("images: 1001 picture(s)");
    expect(refused({ numVideosPerPrompt: 100 }, { imageCount: 11 })[0]).toContain(
      "num_videos_per_prompt: 11 picture(s) x 100 video(s) are 1100 clips",
    );
  });

  test("a size that the checkpoint's own factor does not divide", () => {
    const model = { ...demo, vaeScaleFactor: 16 };
    expect(refused({ height: 72 }, { model })[0]).toContain("no multiple of 16 from 16 to 4096");
  });
});

test("every mistake is told at once, under the names of the caller", () => {
  const found = refused(
    {
      height: 7,
      numFrames: 0,
      fps: "x",
      seeds: "x",
      formats: "x",
      sigmas: "1,0",
      numInferenceSteps: 9,
    },
    { spell: (field) => `--${field.replaceAll("_", "-")}` },
  );
  expect(found.map((text) => text.split(":")[0])).toEqual([
    "--num-frames",
    "--height",
    "--num-inference-steps",
    "--seeds",
    "--fps",
    "--formats",
  ]);
  expect(found[2]).toContain("contradicts --sigmas");
});

test("latentsShapeProblem wants clips, frames, channels and the size in latent cells", () => {
  const parameters = accepted({ height: 576, width: 1024 }, { model: svd });
  const needed = { parameters, clipCount: 2, model: { latentChannels: 4, vaeScaleFactor: 8 } };
  expect(latentsShapeProblem([2, 25, 4, 72, 128], needed)).toBeNull();
  expect(latentsShapeProblem([25, 4, 72, 128], needed)).toContain(
    "has shape [25, 4, 72, 128], this job needs [2, 25, 4, 72, 128]",
  );
  expect(latentsShapeProblem([2, 25, 4, 128, 72], needed)).toContain("[2, 25, 4, 128, 72]");
});
