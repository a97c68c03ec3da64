import { expect, test } from "vitest";
import type { JobParameters } from "../shared/farm/parameters.js";
import { formatDryRun } from "./dry-run.js";

const parameters = {
  ...{ numFrames: 25, width: 1024, height: 576, fps: 7, numInferenceSteps: 30, sigmas: null },
  ...{ minGuidanceScale: 1, maxGuidanceScale: 3, guidance: { kind: "triangle" }, fit: "crop" },
} as unknown as JobParameters;

const view = {
  nodes: [
    { nodeId: "gpu-1", whyNot: "", memoryBytes: 24 * 2 ** 30, tooSmallFor: [] },
    { nodeId: "gpu-22", whyNot: "draining", memoryBytes: 8 * 2 ** 30, tooSmallFor: ["decode"] },
  ],
  plan: "pair",
  clips: 2,
  chunksPerClip: 1,
  jobsAhead: 0,
  etaSeconds: 61.4,
  whyNotNow: [],
} as const;

test("a dry run says what, how, when and who", () => {
  expect(formatDryRun(view, parameters)).toBe(`a clip       25 frames of 1024 x 576 at 7 a second
steps        30, triangle guidance from 1 to 3
pictures     crop to the clip's size
clips        2, each decoded in 1 chunk
plan         pair: two nodes a clip
jobs ahead   0
done in      61 s
starts       at once

NODE    MEMORY    CAN WORK ON IT  TOO SMALL FOR
gpu-1   24.0 GiB  yes
gpu-22  8.0 GiB   no, draining    decode
`);
});

test("what is not known is not guessed, and what stands in the way is named", () => {
  const text = formatDryRun({ ...view, etaSeconds: null, whyNotNow: ["a", "b"] }, parameters);
  expect(text).toContain("done in      unknown");
  expect(text).toContain("not at once: a; b");
});
