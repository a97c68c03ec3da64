import { describe, expect, test } from "vitest";
import * as wire from "../../../proto/gen/renderfarm/v1/job.js";
import { CreateJobRequest, GetJobResponse } from "../../../proto/gen/renderfarm/v1/job_service.js";
import { refuseViolations, type Violation } from "../../core/errors.js";
import { JOB_OPTIONS_DEFAULT, type JobOptions, type JobView } from "../../farm/job.js";
import type { JobParameters } from "../../farm/parameters.js";
import { resolveParameters } from "../../farm/validate-request.js";
import { decodeCreateJob, decodeJob, encodeCreateJob, encodeJob } from "./job-codec.js";

const sha256 = "ab".repeat(32);
const blob = { key: "v1/inputs/0123456789abcdefghjkmnpqrs", sha256, size: 12 };

const parameters: JobParameters = {
  height: 64,
  width: 72,
  numFrames: 14,
  numInferenceSteps: null,
  sigmas: [10, 0.5, 0],
  minGuidanceScale: 1.5,
  maxGuidanceScale: 0,
  guidance: { kind: "linear" },
  fit: "stretch",
  fps: 7,
  motionBucketId: 0,
  noiseAugStrength: 0,
  decodeChunkSize: 3,
  cacheInterval: 4,
  numVideosPerPrompt: 2,
  seeds: [2n ** 64n - 1n, 0n],
  latents: blob,
  formats: ["gif", "safetensors"],
  pair: "always",
  clips: [],
};

const options: JobOptions = {
  preview: true,
  labels: { shot: "12a", "studio.example/team": "blue", empty: "" },
  owner: "ann",
  priority: 0,
  startAfterMs: 1_700_000_000_000,
  deadlineMs: 1_700_000_900_000,
  dependsOn: ["z".repeat(26)],
  branch: { jobId: "y".repeat(26), clipIndex: 0, step: 5 },
};

const job: JobView = {
  jobId: "0123456789abcdefghjkmnpqrs",
  state: "failed",
  parameters,
  clips: [
    {
      index: 0,
      imageIndex: 0,
      state: "succeeded",
      stepsDone: 2,
      stepsKept: [1],
      stepsTotal: 2,
      chunksDone: 5,
      chunksTotal: 5,
      plan: "pair, then single",
      secondsPerStep: 0.25,
      stages: [{ stage: "denoise", nodeIds: ["a", "b"], seconds: 1.5, attempts: 2 }],
      outputCount: 1,
      outputs: [{ format: "gif", fileName: "clip.gif", blob }],
      error: null,
    },
    {
      index: 1,
      imageIndex: 0,
      state: "failed",
      stepsDone: 0,
      stepsKept: [],
      stepsTotal: 2,
      chunksDone: 0,
      chunksTotal: 5,
      plan: "",
      secondsPerStep: 0,
      stages: [],
      outputCount: 1,
      outputs: [],
      error: { code: "numerical", detail: "NaN in step 1" },
    },
  ],
  modelDigest: sha256,
  modelName: "demo",
  createdAtMs: 1_000,
  startedAtMs: 2_000,
  endedAtMs: null,
  options,
  usage: { used: 3.5, wasted: 0.5 },
  whyNotNow: ["it is paused"],
  waitsFor: options.dependsOn,
  run: 2,
};

/** Through the bytes, as between two processes. */
const overWire = (message: wire.Job): wire.Job =>
  GetJobResponse.decode(GetJobResponse.encode({ job: message }).finish()).job!;

/** @throws FarmError with every violation */
function decoded(request: CreateJobRequest) {
  const violations: Violation[] = [];
  const found = decodeCreateJob(request, violations);
  refuseViolations(violations);
  return found;
}

test("a job comes back as it was sent", () => {
  expect(decodeJob(overWire(encodeJob(job)))).toEqual(job);
});

test("a request comes back as it was sent, and resolves to the same parameters", () => {
  const request = { images: [blob], parameters, modelDigest: sha256, requestId: "r-1", options };
  const bytes = CreateJobRequest.encode(encodeCreateJob(request)).finish();
  const received = decoded(CreateJobRequest.decode(bytes));
  expect(received).toMatchObject({ images: [blob], requestId: "r-1", options });
  const model = { numFrames: 25, sampleSize: 96, vaeScaleFactor: 8, numTrainTimesteps: 1000 };
  const context = { model, imageCount: 1, drawnSeed: 1, hasFfmpeg: false };
  expect(resolveParameters(received.parameters, context)).toEqual({ parameters });
});

describe("what a request leaves out stays open", () => {
  const empty = wire.RenderParameters.fromPartial({});

  test("without any parameter", () => {
    const { parameters: raw } = decoded(CreateJobRequest.fromPartial({}));
    expect(raw).toEqual({});
  });

  test("without options", () => {
    const request = CreateJobRequest.fromPartial({});
    expect(decoded(request).options).toEqual(JOB_OPTIONS_DEFAULT);
  });

  test("with an empty message", () => {
    const request = CreateJobRequest.fromPartial({ parameters: empty });
    const { parameters: raw } = decoded(request);
    expect(raw).toMatchObject({ sigmas: [], formats: [], latents: null });
    expect([raw.height, raw.seeds, raw.pair]).toEqual([undefined, undefined, undefined]);
  });

  test("a number that is 0 is not left out", () => {
    const request = CreateJobRequest.fromPartial({ parameters: { ...empty, numFrames: 0 } });
    const bytes = CreateJobRequest.encode(request).finish();
    expect(decoded(CreateJobRequest.decode(bytes)).parameters.numFrames).toBe(0);
  });
});

describe("refused:", () => {
  const requests: [name: string, request: Partial<CreateJobRequest>, field: string][] = [
    [
      "an image with a path for a key",
      { images: [{ key: "../x", sha256, size: 1n }] },
      "images[0].key",
    ],
    [
      "an image without a checksum",
      { images: [{ key: "a", sha256: "", size: 1n }] },
      "images[0].sha256",
    ],
    ["a long request id", { requestId: "x".repeat(37) }, "request_id"],
    ["a request id with a line break", { requestId: "a\nb" }, "request_id"],
  ];
  test.each(requests)("%s", (_name, request, field) => {
    expect(() => decoded(CreateJobRequest.fromPartial(request))).toThrow(field);
  });

  test("everything that is wrong at once", () => {
    const image = { key: "../x", sha256, size: 1n };
    const options = wire.JobOptions.fromPartial({
      ...{ owner: "A B", priority: 101, dependsOn: ["x"], labels: { "a b": "" } },
      branch: { jobId: "y", step: 0 },
    });
    const parameters = wire.RenderParameters.fromPartial({ latents: image });
    const wrong = { images: [image], requestId: "a b", options, parameters };
    const violations: Violation[] = [];
    decodeCreateJob(CreateJobRequest.fromPartial(wrong), violations);
    expect(violations.map(({ field }) => field)).toEqual([
      ...["request_id", "images[0].key", "parameters.latents.key", "options.labels[a b]"],
      ...["options.priority", "options.owner", "options.depends_on[0]", "options.branch.job_id"],
    ]);
  });

  const jobs: [name: string, change: (job: wire.Job) => void, field: string][] = [
    [
      "an output that leaves its folder",
      (j) => {
        j.clips[0]!.outputs[0]!.fileName = "../clip.gif";
      },
      "job.clips[0].outputs[0].file_name",
    ],
    [
      "an unknown state",
      (j) => {
        j.state = wire.JobState.UNRECOGNIZED;
      },
      "job.state",
    ],
    [
      "a job id that is a path",
      (j) => {
        j.jobId = "../../etc";
      },
      "job.job_id",
    ],
    [
      "a time that is missing",
      (j) => {
        j.createTime = undefined;
      },
      "job.create_time",
    ],
  ];
  test.each(jobs)("%s", (_name, change, field) => {
    const message = encodeJob(job);
    change(message);
    expect(() => decodeJob(message)).toThrow(field);
  });
});

test("an unknown format or pairing is left to the check of the whole request", () => {
  const request = CreateJobRequest.fromPartial({
    parameters: { formats: [wire.OutputFormat.UNRECOGNIZED], pair: wire.PairPolicy.UNRECOGNIZED },
  });
  const { formats, pair } = decoded(request).parameters;
  expect([formats, pair]).toEqual([["unrecognized"], "unrecognized"]);
});
