/**
 * @file Tasks and their results on the wire; the messages are those of work.proto.
 *
 * What comes in is checked: a decoder either gives a value that the types promise, or throws
 * FarmError "invalid-argument" naming the field.
 */
import type {
  BranchPoint as WireBranch,
  Output as WireOutput,
} from "../../../proto/gen/renderfarm/v1/job.js";
import { OutputFormat as WireFormat } from "../../../proto/gen/renderfarm/v1/job.js";
import type * as wire from "../../../proto/gen/renderfarm/v1/work.js";
import { GuidanceHalf as WireHalf } from "../../../proto/gen/renderfarm/v1/work.js";
import { formatTraceparent, parseTraceparent, traceOfJob } from "../../core/trace-context.js";
import type { ClipParameters, NoisePlan, OutputFormat } from "../../farm/parameters.js";
import type {
  BranchPoint,
  DenoiseTime,
  DenoiseWork,
  Output,
  Partner,
  StepCheckpoint,
  TaskAssignment,
  TaskResult,
  Work,
} from "../../farm/work.js";
import { decodeBlobRef, encodeBlobRef } from "./blob-codec.js";
import { decodeFit, decodeGuidance, encodeFit, encodeGuidance } from "./look-codec.js";
import * as check from "./wire-checks.js";

const FORMAT_ON_WIRE = {
  mp4: WireFormat.MP4,
  gif: WireFormat.GIF,
  webp: WireFormat.WEBP,
  png: WireFormat.PNG,
  safetensors: WireFormat.SAFETENSORS,
} as const satisfies Record<OutputFormat, WireFormat>;

const HALF_ON_WIRE = { uncond: WireHalf.UNCOND, cond: WireHalf.COND } as const;

/** A file of a clip: no folder, no leading dot. */
const FILE_NAME_PATTERN = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/;

export function encodeOutputFormat(format: OutputFormat): WireFormat {
  return FORMAT_ON_WIRE[format];
}

export function decodeOutputFormat(format: WireFormat, field: string): OutputFormat {
  return check.fromWire(FORMAT_ON_WIRE, format, field);
}

export function encodeAssignment(assignment: TaskAssignment): wire.TaskAssignment {
  const { taskId, jobId, clipId, epoch, attempt, traceparent } = assignment;
  return { taskId, jobId, clipId, epoch, attempt, traceparent, work: encodeWork(assignment.work) };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeAssignment(message: wire.TaskAssignment): TaskAssignment {
  const jobId = check.jobId(message.jobId, "job_id");
  const clipId = check.clipId(message.clipId, "clip_id");
  const taskId = check.taskId(message.taskId, "task_id");
  if (!clipId.startsWith(`${jobId}-`)) check.refuseField("clip_id", "names another job");
  if (!taskId.startsWith(`${clipId}-`)) check.refuseField("task_id", "names another clip");
  return {
    taskId,
    jobId,
    clipId,
    epoch: check.atLeast(message.epoch, 1, "epoch"),
    attempt: check.atLeast(message.attempt, 1, "attempt"),
    work: decodeWork(check.present(message.work, "work")),
    traceparent: decodeTraceparent(message.traceparent, jobId),
  };
}

/** Of a coordinator that names none: the trace that follows from the job's id. */
function decodeTraceparent(traceparent: string, jobId: string): string {
  return formatTraceparent(parseTraceparent(traceparent) ?? traceOfJob(jobId, null));
}

export function encodeResult(result: TaskResult): wire.TaskResult {
  return {
    blob: result.blob ? encodeBlobRef(result.blob) : undefined,
    outputs: result.outputs.map(encodeOutput),
    seconds: result.seconds,
    secondsPerStep: result.secondsPerStep,
  };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeResult(message: wire.TaskResult | undefined, field: string): TaskResult {
  const result = check.present(message, field);
  return {
    blob: result.blob ? decodeBlobRef(result.blob, `${field}.blob`) : null,
    outputs: result.outputs.map((output, i) => decodeOutput(output, `${field}.outputs[${i}]`)),
    seconds: check.seconds(result.seconds, `${field}.seconds`),
    secondsPerStep: check.seconds(result.secondsPerStep, `${field}.seconds_per_step`),
  };
}

export function encodeCheckpoint(checkpoint: StepCheckpoint): wire.StepCheckpoint {
  return { step: checkpoint.step, blob: encodeBlobRef(checkpoint.blob) };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeCheckpoint(message: wire.StepCheckpoint, field: string): StepCheckpoint {
  return {
    step: check.atLeast(message.step, 1, `${field}.step`),
    blob: decodeBlobRef(message.blob, `${field}.blob`),
  };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeDenoiseTime(message: wire.DenoiseTime, field: string): DenoiseTime {
  return {
    steps: message.steps,
    computeSeconds: check.seconds(message.computeSeconds, `${field}.compute_seconds`),
    exchangeSeconds: check.seconds(message.exchangeSeconds, `${field}.exchange_seconds`),
    combineSeconds: check.seconds(message.combineSeconds, `${field}.combine_seconds`),
    saveSeconds: check.seconds(message.saveSeconds, `${field}.save_seconds`),
  };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeBranch(message: WireBranch, field: string): BranchPoint {
  return {
    jobId: check.jobId(message.jobId, `${field}.job_id`),
    clipIndex: message.clipIndex,
    step: check.atLeast(message.step, 1, `${field}.step`),
  };
}

export function encodeOutput(output: Output): WireOutput {
  return {
    format: encodeOutputFormat(output.format),
    fileName: output.fileName,
    blob: encodeBlobRef(output.blob),
  };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeOutput(message: WireOutput, field: string): Output {
  if (!FILE_NAME_PATTERN.test(message.fileName)) {
    const shown = JSON.stringify(message.fileName.slice(0, 80));
    check.refuseField(`${field}.file_name`, `${shown} is not a plain file name`);
  }
  return {
    format: decodeOutputFormat(message.format, `${field}.format`),
    fileName: message.fileName,
    blob: decodeBlobRef(message.blob, `${field}.blob`),
  };
}

function encodeWork(work: Work): NonNullable<wire.TaskAssignment["work"]> {
  const parameters = encodeParameters(work.parameters);
  switch (work.stage) {
    case "condition": {
      const value = {
        parameters,
        noise: encodeNoise(work.noise),
        image: encodeBlobRef(work.image),
        preview: work.preview,
      };
      return { $case: "condition", value };
    }
    case "denoise":
      return { $case: "denoise", value: encodeDenoise(work) };
    case "decode": {
      const { firstFrame, frameCount, keepFloat } = work;
      const latents = encodeBlobRef(work.latents);
      return { $case: "decode", value: { parameters, latents, firstFrame, frameCount, keepFloat } };
    }
    case "mux":
      return {
        $case: "mux",
        value: {
          parameters,
          chunks: work.chunks.map(encodeBlobRef),
          latents: encodeBlobRef(work.latents),
          formats: work.formats.map(encodeOutputFormat),
          noise: encodeNoise(work.noise),
          modelDigest: work.modelDigest,
          modelName: work.modelName,
          branch: work.branch ?? undefined,
        },
      };
  }
}

function decodeWork(work: NonNullable<wire.TaskAssignment["work"]>): Work {
  const { $case: stage, value } = work;
  const parameters = decodeParameters(value.parameters, `${stage}.parameters`);
  switch (stage) {
    case "condition":
      return {
        stage,
        parameters,
        noise: decodeNoise(value.noise, `${stage}.noise`),
        image: decodeBlobRef(value.image, `${stage}.image`),
        preview: value.preview,
      };
    case "denoise":
      return {
        stage,
        parameters,
        conditioning: decodeBlobRef(value.conditioning, `${stage}.conditioning`),
        resume: value.resume ? decodeCheckpoint(value.resume, `${stage}.resume`) : null,
        preview: value.preview,
        pair: decodePair(value, stage),
      };
    case "decode":
      return {
        stage,
        parameters,
        latents: decodeBlobRef(value.latents, `${stage}.latents`),
        ...decodeFrameRange(value, parameters.numFrames),
        keepFloat: value.keepFloat,
      };
    case "mux":
      check.atLeast(value.chunks.length, 1, `${stage}.chunks`);
      check.atLeast(value.formats.length, 1, `${stage}.formats`);
      return {
        stage,
        parameters,
        chunks: value.chunks.map((chunk, i) => decodeBlobRef(chunk, `${stage}.chunks[${i}]`)),
        latents: decodeBlobRef(value.latents, `${stage}.latents`),
        formats: value.formats.map((f, i) => decodeOutputFormat(f, `${stage}.formats[${i}]`)),
        noise: decodeNoise(value.noise, `${stage}.noise`),
        modelDigest: check.sha256(value.modelDigest, `${stage}.model_digest`),
        modelName: check.text(value.modelName, `${stage}.model_name`, 255),
        branch: value.branch ? decodeBranch(value.branch, `${stage}.branch`) : null,
      };
  }
}

function encodeParameters(parameters: ClipParameters): wire.ClipParameters {
  const { numInferenceSteps, sigmas, guidance, fit, ...rest } = parameters;
  return {
    ...rest,
    numInferenceSteps: numInferenceSteps ?? 0,
    sigmas: [...(sigmas ?? [])],
    guidance: encodeGuidance(guidance),
    fit: encodeFit(fit),
  };
}

function decodeParameters(message: wire.ClipParameters | undefined, field: string): ClipParameters {
  const p = check.present(message, field);
  const hasSigmas = p.sigmas.length > 0;
  if (hasSigmas && p.sigmas.length < 2) check.refuseField(`${field}.sigmas`, "has only one value");
  if (hasSigmas !== (p.numInferenceSteps === 0)) {
    check.refuseField(`${field}.num_inference_steps`, "wants to be 0 exactly where sigmas are set");
  }
  const numFrames = check.atLeast(p.numFrames, 1, `${field}.num_frames`);
  const chunk = check.atLeast(p.decodeChunkSize, 1, `${field}.decode_chunk_size`);
  if (chunk > numFrames) check.refuseField(`${field}.decode_chunk_size`, `exceeds ${numFrames}`);
  return {
    height: pixels(p.height, `${field}.height`),
    width: pixels(p.width, `${field}.width`),
    numFrames,
    numInferenceSteps: hasSigmas ? null : p.numInferenceSteps,
    sigmas: hasSigmas ? p.sigmas.map((s, i) => check.finite(s, `${field}.sigmas[${i}]`)) : null,
    minGuidanceScale: check.finite(p.minGuidanceScale, `${field}.min_guidance_scale`),
    maxGuidanceScale: check.finite(p.maxGuidanceScale, `${field}.max_guidance_scale`),
    fps: check.atLeast(p.fps, 1, `${field}.fps`),
    motionBucketId: p.motionBucketId,
    noiseAugStrength: check.finite(p.noiseAugStrength, `${field}.noise_aug_strength`),
    decodeChunkSize: chunk,
    guidance: decodeGuidance(p.guidance, numFrames, `${field}.guidance`),
    fit: decodeFit(p.fit, `${field}.fit`),
    cacheInterval: check.atLeast(p.cacheInterval, 1, `${field}.cache_interval`),
  };
}

function pixels(value: number, field: string): number {
  if (value % 8 !== 0) check.refuseField(field, `${value} is not a multiple of 8`);
  return check.atLeast(value, 8, field);
}

function encodeNoise(noise: NoisePlan): wire.NoisePlan {
  const latents = noise.latents ? encodeBlobRef(noise.latents) : undefined;
  return { ...noise, seeds: [...noise.seeds], latents };
}

function decodeNoise(message: wire.NoisePlan | undefined, field: string): NoisePlan {
  const noise = check.present(message, field);
  const { imageCount, clipCount, imageIndex, clipIndex, seeds } = noise;
  if (imageIndex >= imageCount) check.refuseField(`${field}.image_index`, `of ${imageCount}`);
  if (clipIndex >= clipCount) check.refuseField(`${field}.clip_index`, `of ${clipCount}`);
  if (seeds.length !== 1 && seeds.length !== clipCount) {
    check.refuseField(`${field}.seeds`, `${seeds.length} seeds for ${clipCount} clips`);
  }
  const latents = noise.latents ? decodeBlobRef(noise.latents, `${field}.latents`) : null;
  return { seeds, imageCount, clipCount, imageIndex, clipIndex, latents };
}

function encodeDenoise(work: DenoiseWork): wire.DenoiseWork {
  return {
    parameters: encodeParameters(work.parameters),
    conditioning: encodeBlobRef(work.conditioning),
    partner: work.pair ? { ...work.pair.partner } : undefined,
    half: work.pair ? HALF_ON_WIRE[work.pair.half] : WireHalf.UNSPECIFIED,
    resume: work.resume ? encodeCheckpoint(work.resume) : undefined,
    preview: work.preview,
  };
}

function decodePair(value: wire.DenoiseWork, field: string): DenoiseWork["pair"] {
  if (!value.partner) {
    if (value.half === WireHalf.UNSPECIFIED) return null;
    return check.refuseField(`${field}.partner`, "is missing beside half");
  }
  return {
    half: check.fromWire(HALF_ON_WIRE, value.half, `${field}.half`),
    partner: decodePartner(value.partner, `${field}.partner`),
  };
}

function decodePartner(partner: wire.Partner, field: string): Partner {
  return {
    nodeId: check.nodeId(partner.nodeId, `${field}.node_id`),
    busAddress: check.busAddress(partner.busAddress, `${field}.bus_address`),
    busToken: check.text(partner.busToken, `${field}.bus_token`, 128),
  };
}

function decodeFrameRange(
  value: wire.DecodeWork,
  numFrames: number,
): { firstFrame: number; frameCount: number } {
  const { firstFrame } = value;
  const frameCount = check.atLeast(value.frameCount, 1, "decode.frame_count");
  if (firstFrame + frameCount > numFrames) {
    check.refuseField("decode.first_frame", `${firstFrame}+${frameCount} exceeds ${numFrames}`);
  }
  return { firstFrame, frameCount };
}
