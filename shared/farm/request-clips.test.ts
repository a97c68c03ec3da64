import { describe, expect, test } from "vitest";
import { clipCountOf, clipParametersOf, imageIndexOf, noisePlanOf } from "./parameters.js";
import type { RawClip } from "./request-clips.js";
import { type RawParameters, resolveParameters } from "./validate-request.js";

const model = { numFrames: 3, sampleSize: 16, vaeScaleFactor: 4, numTrainTimesteps: 1000 };

function resolve(clips: readonly RawClip[], raw: RawParameters = {}, imageCount = 2) {
  const context = { model, imageCount, drawnSeed: 42, hasFfmpeg: true };
  return resolveParameters({ ...raw, clips }, context);
}
function accepted(...args: Parameters<typeof resolve>) {
  const resolved = resolve(...args);
  if ("violations" in resolved) throw new Error(JSON.stringify(resolved.violations));
  return resolved.parameters;
}
function refused(...args: Parameters<typeof resolve>): string[] {
  const resolved = resolve(...args);
  if (!("violations" in resolved)) return [];
  return resolved.violations.map(({ field, description }) => `${field}: ${description}`);
}

describe("a clip of a list", () => {
  test("has its own values and, for the rest, the job's", () => {
    const clips = [
      { imageIndex: 1, seed: 5n, fps: 12, motionBucketId: 40, noiseAugStrength: 0.5 },
      {},
    ];
    const job = accepted(clips, { fps: 9, motionBucketId: 60, seeds: [7n] });
    expect(clipParametersOf(job, 0)).toMatchObject({
      ...{ fps: 12, motionBucketId: 40, noiseAugStrength: 0.5, numFrames: 3 },
    });
    expect(clipParametersOf(job, 1)).toMatchObject({
      ...{ fps: 9, motionBucketId: 60, noiseAugStrength: 0.02 },
    });
    expect([0, 1].map((i) => imageIndexOf(job, i))).toEqual([1, 1]);
    expect(clipCountOf(job, 2)).toBe(2);
  });

  test("draws its noise alone: the same seed gives the same clip in any batch", () => {
    const job = accepted([{ seed: 5n }, {}], { seeds: [7n] });
    const alone = { imageCount: 1, clipCount: 1, imageIndex: 0, clipIndex: 0, latents: null };
    expect(noisePlanOf(job, 2, 0)).toEqual({ ...alone, seeds: [5n] });
    expect(noisePlanOf(job, 2, 1)).toEqual({ ...alone, seeds: [8n] });
  });

  test.each<[string, RawParameters, bigint[]]>([
    ["one seed of the job", { seeds: [7n] }, [7n, 8n, 9n]],
    ["a seed each", { seeds: [1n, 5n, 3n] }, [1n, 5n, 3n]],
    ["the largest seed", { seeds: [2n ** 64n - 1n] }, [2n ** 64n - 1n, 0n, 1n]],
    ["none: it is drawn", {}, [42n, 43n, 44n]],
  ])("takes its seed from the job's: %s", (_case, raw, expected) => {
    const job = accepted([{}, {}, {}], raw, 3);
    expect(job.clips.map((clip) => clip.seed)).toEqual(expected);
  });

  test("one picture is every clip's", () => {
    expect(accepted([{}, {}], {}, 1).clips.map((clip) => clip.imageIndex)).toEqual([0, 0]);
  });
});

describe("the guidance of a clip", () => {
  const linear = { guidance: { kind: "linear" } };
  test.each<[string, RawParameters, RawClip, object]>([
    [
      "one end",
      { maxGuidanceScale: 4 },
      { minGuidanceScale: 2 },
      { minGuidanceScale: 2, maxGuidanceScale: 4, ...linear },
    ],
    [
      "another kind",
      { maxGuidanceScale: 4 },
      { guidance: "triangle" },
      { minGuidanceScale: 1, maxGuidanceScale: 4 },
    ],
    [
      "constant",
      {},
      { guidance: "constant", maxGuidanceScale: 2 },
      { minGuidanceScale: 2, maxGuidanceScale: 2 },
    ],
    [
      "ends in a job that lists scales",
      { guidance: "1,2,3" },
      { maxGuidanceScale: 2 },
      { minGuidanceScale: 1, maxGuidanceScale: 2, ...linear },
    ],
    [
      "a list of its own",
      { maxGuidanceScale: 4 },
      { guidance: "1,2,2" },
      { minGuidanceScale: 1, maxGuidanceScale: 2 },
    ],
    ["nothing", { guidance: "1,2,3" }, {}, { guidance: { kind: "frames", scales: [1, 2, 3] } }],
  ])("%s", (_case, job, clip, expected) => {
    expect(clipParametersOf(accepted([clip], job, 1), 0)).toMatchObject(expected);
  });
});

describe("refused:", () => {
  test("every mistake of every clip at once, with its place", () => {
    const clips = [{ fps: 0 }, { imageIndex: 5, seed: "x" }, { guidance: "1" }];
    expect(refused(clips, { height: 17 })).toEqual([
      "height: '17' is no multiple of 8 from 8 to 4096; nearest are 16 and 24",
      "clips[0].fps: '0' is no whole number from 1 to 240",
      "clips[1].image_index: '5' is no whole number from 0 to 1",
      "clips[1].seed: 'x' is no whole number from 0 to 18446744073709551615",
      "clips[2].image_index: is missing; the job has 2 pictures",
      "clips[2].guidance: lists 1 scales for 3 frames; give one a frame, or linear, triangle or constant",
    ]);
  });

  test("more clips than a job may have, by its limit", () => {
    const clips = Array.from({ length: 10_000 }, () => ({}));
    expect(refused(clips, {}, 1)).toEqual([
      "clips: lists 10000 clips, legal are up to 1000 a job; send several jobs",
    ]);
  });

  test("what says the same thing twice", () => {
    const latents = { key: "k", sha256: "0".repeat(64), size: 1 };
    expect(refused([{}, {}], { numVideosPerPrompt: 2, latents })).toEqual([
      "num_videos_per_prompt: is 2 beside a list of clips; name a clip several times",
      "latents: are no choice beside a list of clips, which draw their own noise",
    ]);
  });
});
