import { describe, expect, test } from "vitest";
import type { ClipView, JobView } from "../shared/farm/job.js";
import { JOB_OPTIONS_DEFAULT } from "../shared/farm/job.js";
import { lineProgress, statusOf, workOf } from "./progress.js";
import { formatTime } from "./progress-bar.js";

const denoising = { stage: "denoise", nodeIds: ["a"], seconds: 1, attempts: 1 } as const;

function clip(change: Partial<ClipView> = {}): ClipView {
  return {
    index: 0,
    imageIndex: 0,
    state: "running",
    stepsDone: 0,
    stepsKept: [],
    stepsTotal: 10,
    chunksDone: 0,
    chunksTotal: 2,
    plan: "single",
    secondsPerStep: 0,
    stages: [denoising],
    outputs: [],
    outputCount: 0,
    error: null,
    ...change,
  };
}

function job(...clips: ClipView[]): JobView {
  const parameters = { numFrames: 20 } as JobView["parameters"];
  return {
    jobId: "j",
    state: "running",
    parameters,
    clips: clips.map((each, index) => ({ ...each, index })),
    modelDigest: "",
    modelName: "",
    createdAtMs: 0,
    startedAtMs: null,
    endedAtMs: null,
    options: JOB_OPTIONS_DEFAULT,
    whyNotNow: [],
    usage: { used: 0, wasted: 0 },
    waitsFor: [],
    run: 1,
  };
}

const done = clip({ state: "succeeded", stepsDone: 10, chunksDone: 2 });

describe("the status says what happens now:", () => {
  const cases: [status: string, job: JobView][] = [
    ["waiting for a node", job(clip({ state: "queued", stages: [] }))],
    ["reading the picture", job(clip({ stages: [] }))],
    ["step 0/10", job(clip())],
    ["step 9/10", job(clip({ stepsDone: 9 }))],
    ["decoding, chunk 0/2", job(clip({ stepsDone: 10 }))],
    ["writing files", job(clip({ stepsDone: 10, chunksDone: 2 }))],
    ["done", job(done)],
    ["clip 2/3: step 4/10 (and 1 more)", job(done, clip({ stepsDone: 4 }), clip())],
  ];
  test.each(cases)("%s", (status, view) => {
    expect(statusOf(view)).toBe(status);
  });
});

test("the bar grows with steps and chunks, and is full at the end", () => {
  const views = [clip(), clip({ stepsDone: 10 }), clip({ stepsDone: 10, chunksDone: 1 }), done];
  // 20 frames in 2 chunks weigh as much as 2 steps.
  expect(views.map((view) => workOf(job(view)))).toEqual([
    { done: 0, total: 12 },
    { done: 10, total: 12 },
    { done: 11, total: 12 },
    { done: 12, total: 12 },
  ]);
});

test("without a terminal each milestone is one line, however often the job changes", () => {
  const lines: string[] = [];
  const progress = lineProgress((line) => lines.push(line));
  for (let stepsDone = 0; stepsDone <= 10; stepsDone++) progress.update(job(clip({ stepsDone })));
  progress.note("node-2 ended");
  progress.update(job(clip({ stepsDone: 10, chunksDone: 1 })));
  progress.update(job(done));
  progress.update(job(done));
  expect(lines).toEqual([
    "step 2/10",
    "step 4/10",
    "step 6/10",
    "step 8/10",
    "step 10/10",
    "node-2 ended",
    "decoded chunk 1/2",
    "decoded chunk 2/2",
    "succeeded",
  ]);
});

test("a clip that failed says why", () => {
  const lines: string[] = [];
  const error = { code: "numerical", detail: "NaN in step 3" } as const;
  const failed = clip({ state: "failed", stages: [], error });
  lineProgress((line) => lines.push(line)).update(job(done, failed));
  expect(lines).toContain("clip 2/2: failed: NaN in step 3");
});

test.each([
  [Number.NaN, "?"],
  [Number.POSITIVE_INFINITY, "?"],
  [0, "0s"],
  [59.9, "59s"],
  [61, "1m01s"],
  [3725, "1h02m"],
])("%d seconds are written %s", (seconds, text) => {
  expect(formatTime(seconds)).toBe(text);
});
