import { expect, test } from "vitest";
import * as wire from "../../../proto/gen/renderfarm/v1/work.js";
import { FarmError } from "../../core/errors.js";
import type { ClipParameters, NoisePlan } from "../../farm/parameters.js";
import type { TaskAssignment, TaskResult, Work } from "../../farm/work.js";
import type { BlobRef } from "../../ports/blob-store.js";
import { decodeAssignment, decodeResult, encodeAssignment, encodeResult } from "./work-codec.js";

const JOB = "0123456789abcdefghjkmnpqrs";
const CLIP = `${JOB}-3`;
const DIGEST = "0f".repeat(32);
const blob = (name: string): BlobRef => ({ key: `v1/${JOB}/3/${name}`, sha256: DIGEST, size: 7 });

const parameters: ClipParameters = {
  height: 576,
  width: 1024,
  numFrames: 25,
  numInferenceSteps: 25,
  sigmas: null,
  minGuidanceScale: 1,
  maxGuidanceScale: 3,
  guidance: { kind: "linear" },
  fit: "stretch",
  fps: 7,
  motionBucketId: 127,
  noiseAugStrength: 0.02,
  decodeChunkSize: 8,
  cacheInterval: 3,
};
const noise: NoisePlan = {
  seeds: [2n ** 64n - 1n],
  imageCount: 2,
  clipCount: 4,
  imageIndex: 1,
  clipIndex: 3,
  latents: null,
};
const partner = { nodeId: "node-2", busAddress: "127.0.0.1:4000", busToken: "secret" };

const works: [name: string, work: Work][] = [
  ["condition", { stage: "condition", parameters, noise, image: blob("image"), preview: true }],
  [
    "condition with latents, a seed a clip and custom sigmas",
    {
      stage: "condition",
      parameters: { ...parameters, numInferenceSteps: null, sigmas: [700, 1.5, 0] },
      noise: { ...noise, seeds: [1n, 2n, 3n, 4n], latents: blob("latents") },
      image: blob("image"),
      preview: false,
    },
  ],
  [
    "denoise alone",
    {
      stage: "denoise",
      parameters,
      conditioning: blob("c"),
      resume: null,
      pair: null,
      preview: false,
    },
  ],
  [
    "denoise in a pair, from a checkpoint on",
    {
      stage: "denoise",
      preview: true,
      parameters,
      conditioning: blob("c"),
      resume: { step: 7, blob: blob("step-7") },
      pair: { half: "cond", partner },
    },
  ],
  [
    "decode",
    {
      stage: "decode",
      parameters,
      latents: blob("l"),
      firstFrame: 24,
      frameCount: 1,
      keepFloat: true,
    },
  ],
  [
    "mux",
    {
      stage: "mux",
      parameters,
      chunks: [blob("0"), blob("8")],
      latents: blob("l"),
      formats: ["mp4", "gif", "webp", "png", "safetensors"],
      noise,
      modelDigest: DIGEST,
      modelName: "svd-xt",
      branch: { jobId: JOB, clipIndex: 3, step: 7 },
    },
  ],
];

const assignmentOf = (work: Work): TaskAssignment => ({
  taskId: `${CLIP}-${work.stage}`,
  jobId: JOB,
  clipId: CLIP,
  epoch: 2,
  attempt: 1,
  work,
  traceparent: `00-${"c1".repeat(16)}-${"5a".repeat(8)}-00`,
});

test.each(works)("an assignment comes back from its bytes: %s", (_name, work) => {
  const bytes = wire.TaskAssignment.encode(encodeAssignment(assignmentOf(work))).finish();
  expect(decodeAssignment(wire.TaskAssignment.decode(bytes))).toEqual(assignmentOf(work));
});

const results: [name: string, result: TaskResult][] = [
  ["of latents", { blob: blob("latents-1"), outputs: [], seconds: 1.5, secondsPerStep: 0.25 }],
  [
    "of files",
    {
      blob: null,
      outputs: [{ format: "mp4", fileName: "clip.mp4", blob: blob("out-1/clip.mp4") }],
      seconds: 0.5,
      secondsPerStep: 0,
    },
  ],
];

test.each(results)("a result comes back from its bytes: %s", (_name, result) => {
  const bytes = wire.TaskResult.encode(encodeResult(result)).finish();
  expect(decodeResult(wire.TaskResult.decode(bytes), "result")).toEqual(result);
});

type Spoil = (message: wire.TaskAssignment) => void;
const inDenoise = (spoil: (work: wire.DenoiseWork) => void): Spoil => {
  return (message) => {
    if (message.work?.$case === "denoise") spoil(message.work.value);
  };
};
const refused: [name: string, field: string, spoil: Spoil][] = [
  ["no work", "work", (m) => Object.assign(m, { work: undefined })],
  ["a job id with a path", "job_id", (m) => Object.assign(m, { jobId: "../../etc/passwd" })],
  ["an empty job id", "job_id", (m) => Object.assign(m, { jobId: "" })],
  ["a line break after a job id", "job_id", (m) => Object.assign(m, { jobId: `${JOB}\n` })],
  ["a clip of another job", "clip_id", (m) => Object.assign(m, { clipId: `${"z".repeat(26)}-3` })],
  ["a task of another clip", "task_id", (m) => Object.assign(m, { taskId: `${JOB}-4-denoise` })],
  ["a task id with a NUL", "task_id", (m) => Object.assign(m, { taskId: `${CLIP}-denoise\0` })],
  ["epoch 0", "epoch", (m) => Object.assign(m, { epoch: 0 })],
  ["attempt 0", "attempt", (m) => Object.assign(m, { attempt: 0 })],
  [
    "no parameters",
    "denoise.parameters",
    inDenoise((w) => Object.assign(w, { parameters: undefined })),
  ],
  [
    "no steps",
    "num_inference_steps",
    inDenoise((w) => Object.assign(w.parameters!, { numInferenceSteps: 0 })),
  ],
  ["steps and sigmas", "num_inference_steps", inDenoise((w) => w.parameters!.sigmas.push(2, 1))],
  [
    "guidance NaN",
    "min_guidance",
    inDenoise((w) => Object.assign(w.parameters!, { minGuidanceScale: NaN })),
  ],
  [
    "a height of 12",
    "parameters.height",
    inDenoise((w) => Object.assign(w.parameters!, { height: 12 })),
  ],
  [
    "a width of 0",
    "parameters.width",
    inDenoise((w) => Object.assign(w.parameters!, { width: 0 })),
  ],
  [
    "chunks beyond the clip",
    "chunk_size",
    inDenoise((w) => Object.assign(w.parameters!, { numFrames: 4 })),
  ],
  [
    "no conditioning",
    "conditioning",
    inDenoise((w) => Object.assign(w, { conditioning: undefined })),
  ],
  [
    "a key that leaves",
    "conditioning.key",
    inDenoise((w) => Object.assign(w.conditioning!, { key: "v1/../x" })),
  ],
  [
    "a short hash",
    "conditioning.sha256",
    inDenoise((w) => Object.assign(w.conditioning!, { sha256: "0f" })),
  ],
  [
    "a huge blob",
    "conditioning.size",
    inDenoise((w) => Object.assign(w.conditioning!, { size: 2n ** 63n })),
  ],
  [
    "a partner without a half",
    "half",
    inDenoise((w) => Object.assign(w, { half: wire.GuidanceHalf.UNSPECIFIED })),
  ],
  [
    "an unknown half",
    "half",
    inDenoise((w) => Object.assign(w, { half: wire.GuidanceHalf.UNRECOGNIZED })),
  ],
  [
    "a half without a partner",
    "partner",
    inDenoise((w) => Object.assign(w, { partner: undefined })),
  ],
  [
    "a bus without a port",
    "bus_address",
    inDenoise((w) => Object.assign(w.partner!, { busAddress: "host" })),
  ],
  ["port 0", "bus_address", inDenoise((w) => Object.assign(w.partner!, { busAddress: "host:0" }))],
  [
    "port 65536",
    "bus_address",
    inDenoise((w) => Object.assign(w.partner!, { busAddress: "host:65536" })),
  ],
  ["no token", "bus_token", inDenoise((w) => Object.assign(w.partner!, { busToken: "" }))],
  [
    "an odd partner",
    "partner.node_id",
    inDenoise((w) => Object.assign(w.partner!, { nodeId: "Node 2" })),
  ],
];

test.each(refused)("an assignment with %s is refused by name of %s", (_name, field, spoil) => {
  const [, work] = works[3]!;
  const message = encodeAssignment(assignmentOf(work));
  spoil(message);
  const error = thrownBy(() => decodeAssignment(message));
  expect(error.code).toBe("invalid-argument");
  expect(error.violations[0]?.field).toContain(field);
});

test("a chunk beyond the last frame is refused", () => {
  const [, decode] = works[4]!;
  const message = encodeAssignment(assignmentOf(decode));
  if (message.work?.$case === "decode") message.work.value.frameCount = 2;
  expect(() => decodeAssignment(message)).toThrow(/first_frame: 24\+2 exceeds 25/);
});

test.each(["../clip.mp4", ".hidden", "", "a/b", "a\0"])(
  "an output named %j is refused",
  (fileName) => {
    const message = encodeResult(results[1]![1]);
    message.outputs[0]!.fileName = fileName;
    expect(() => decodeResult(message, "result")).toThrow(/result\.outputs\[0\]\.file_name/);
  },
);

function thrownBy(call: () => unknown): FarmError {
  try {
    call();
  } catch (error) {
    if (error instanceof FarmError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
