/**
 * @file Jobs and requests for them on the wire; the messages are those of job.proto and
 * job_service.proto. The coordinator and its clients use the same functions.
 */
import * as wire from "../../../proto/gen/renderfarm/v1/job.js";
import type {
  CreateJobRequest,
  ClipPreview as WirePreview,
} from "../../../proto/gen/renderfarm/v1/job_service.js";
import {
  type FarmErrorCode,
  gathered,
  isFarmErrorCode,
  refuseViolations,
  type Violation,
} from "../../core/errors.js";
import {
  type ClipPreview,
  type ClipView,
  DEPENDENCIES_MAX,
  JOB_OPTIONS_DEFAULT,
  type JobOptions,
  type JobState,
  type JobView,
  PRIORITY_MAX,
  REQUEST_ID_LENGTH_MAX,
  REQUEST_ID_PATTERN,
  type Seconds,
  type StageView,
} from "../../farm/job.js";
import { labelViolations } from "../../farm/labels.js";
import type { RawParameters } from "../../farm/validate-request.js";
import type { BranchPoint, Stage } from "../../farm/work.js";
import type { BlobRef } from "../../ports/blob-store.js";
import { decodeBlobRef, encodeBlobRef } from "./blob-codec.js";
import {
  decodeJobParameters,
  decodeRawParameters,
  encodeJobParameters,
  type RequestedParameters,
} from "./parameters-codec.js";
import * as check from "./wire-checks.js";
import { decodeBranch, decodeOutput, encodeOutput } from "./work-codec.js";

const STATE_ON_WIRE = {
  queued: wire.JobState.QUEUED,
  running: wire.JobState.RUNNING,
  succeeded: wire.JobState.SUCCEEDED,
  failed: wire.JobState.FAILED,
  cancelled: wire.JobState.CANCELLED,
  paused: wire.JobState.PAUSED,
  expired: wire.JobState.EXPIRED,
} as const satisfies Record<JobState, wire.JobState>;

const STAGE_ON_WIRE = {
  condition: wire.Stage.CONDITION,
  denoise: wire.Stage.DENOISE,
  decode: wire.Stage.DECODE,
  mux: wire.Stage.MUX,
} as const satisfies Record<Stage, wire.Stage>;

/** A job that is asked for: its pictures are stored already. */
export interface NewJobRequest<P> {
  readonly images: readonly BlobRef[];
  readonly parameters: P;
  /** Digest of the checkpoint; "" where the farm serves only one. */
  readonly modelDigest: string;
  /** The same id never makes a second job; "" for none. */
  readonly requestId: string;
  readonly options: JobOptions;
}

export function encodeCreateJob(request: NewJobRequest<RequestedParameters>): CreateJobRequest {
  const { images, parameters, modelDigest, requestId, options } = request;
  return {
    images: images.map(encodeBlobRef),
    parameters: encodeJobParameters(parameters),
    modelDigest,
    requestId,
    options: encodeOptions(options),
    validateOnly: false,
  };
}

/**
 * A request as `resolveParameters` takes it: its numbers are not checked here.
 *
 * @param violations gets every field that is no blob, an odd request id, and what is wrong with the options
 */
export function decodeCreateJob(
  request: CreateJobRequest,
  violations: Violation[],
): NewJobRequest<RawParameters> {
  const { images, parameters, modelDigest, requestId } = request;
  if (requestId !== "" && !REQUEST_ID_PATTERN.test(requestId)) {
    const legal = `at most ${REQUEST_ID_LENGTH_MAX} printable ASCII characters without spaces`;
    violations.push({ field: "request_id", description: `is not ${legal}` });
  }
  return {
    images: images.map((image, i) =>
      gathered(violations, () => decodeBlobRef(image, `images[${i}]`), NO_BLOB),
    ),
    parameters: parameters === undefined ? {} : decodeRawParameters(parameters, violations),
    modelDigest,
    requestId,
    options: gathered(violations, () => decodeOptions(request.options), JOB_OPTIONS_DEFAULT),
  };
}

/** Stands for a reference that was refused, so that what else is wrong is found as well. */
const NO_BLOB: BlobRef = { key: "", sha256: "", size: 0 };

export function encodeState(state: JobState): wire.JobState {
  return STATE_ON_WIRE[state];
}

/** @throws FarmError "invalid-argument" for a state that there is not */
export function decodeState(state: wire.JobState, field: string): JobState {
  return check.fromWire(STATE_ON_WIRE, state, field);
}

export function encodePreview({ clipIndex, step, image }: ClipPreview): WirePreview {
  const { buffer, byteOffset, byteLength } = image;
  return { clipIndex, step, image: Buffer.from(buffer, byteOffset, byteLength) };
}

export function encodeJob(job: JobView): wire.Job {
  return {
    jobId: job.jobId,
    state: STATE_ON_WIRE[job.state],
    parameters: encodeJobParameters(job.parameters),
    clips: job.clips.map(encodeClip),
    modelDigest: job.modelDigest,
    modelName: job.modelName,
    createTime: new Date(job.createdAtMs),
    startTime: encodeTime(job.startedAtMs),
    endTime: encodeTime(job.endedAtMs),
    options: encodeOptions(job.options),
    usage: encodeUsage(job.usage),
    waitsFor: [...job.waitsFor],
    run: job.run,
    whyNotNow: [...job.whyNotNow],
  };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeJob(message: wire.Job | undefined, field = "job"): JobView {
  const job = check.present(message, field);
  return {
    jobId: check.jobId(job.jobId, `${field}.job_id`),
    state: check.fromWire(STATE_ON_WIRE, job.state, `${field}.state`),
    parameters: decodeJobParameters(job.parameters, `${field}.parameters`),
    clips: job.clips.map((clip, i) => decodeClip(clip, `${field}.clips[${i}]`)),
    modelDigest: job.modelDigest,
    modelName: job.modelName,
    createdAtMs: check.present(job.createTime, `${field}.create_time`).getTime(),
    startedAtMs: job.startTime?.getTime() ?? null,
    endedAtMs: job.endTime?.getTime() ?? null,
    options: decodeOptions(job.options),
    usage: decodeUsage(job.usage),
    waitsFor: job.waitsFor,
    run: job.run,
    whyNotNow: job.whyNotNow,
  };
}

export function encodeUsage({ used, wasted }: Seconds): wire.Usage {
  return { seconds: used, wastedSeconds: wasted };
}

export function decodeUsage(usage: wire.Usage | undefined): Seconds {
  return { used: usage?.seconds ?? 0, wasted: usage?.wastedSeconds ?? 0 };
}

export function encodeStage(stage: Stage): wire.Stage {
  return STAGE_ON_WIRE[stage];
}

/** @throws FarmError "invalid-argument" for a stage that there is not */
export function decodeStageName(stage: wire.Stage, field: string): Stage {
  return check.fromWire(STAGE_ON_WIRE, stage, field);
}

/** Milliseconds since 1970; null: absent. */
export function encodeTime(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms);
}

/** @throws FarmError "invalid-argument" for a time that no Date holds */
export function decodeTime(time: Date | undefined, field: string): number | null {
  const ms = time?.getTime() ?? null;
  if (Number.isNaN(ms)) check.refuseField(field, "is no time from the years 1 to 9999");
  return ms;
}

function encodeOptions(options: JobOptions): wire.JobOptions {
  const { owner, priority, startAfterMs, deadlineMs, dependsOn, branch, preview, labels } = options;
  return {
    ...{ owner, priority },
    startAfterTime: encodeTime(startAfterMs),
    deadlineTime: encodeTime(deadlineMs),
    dependsOn: [...dependsOn],
    branch: branch ?? undefined,
    preview,
    labels: { ...labels },
  };
}

/** @throws FarmError "invalid-argument" with every violation */
function decodeOptions(message: wire.JobOptions | undefined): JobOptions {
  if (message === undefined) return JOB_OPTIONS_DEFAULT;
  const { owner, priority = JOB_OPTIONS_DEFAULT.priority, dependsOn, branch, labels } = message;
  const violations = labelViolations(labels, "options.labels");
  const refuse = (field: string, description: string) => violations.push({ field, description });
  const read = <T>(value: () => T, instead: T): T => gathered(violations, value, instead);
  if (priority > PRIORITY_MAX) {
    refuse("options.priority", `${priority} is not from 0 to ${PRIORITY_MAX}`);
  }
  if (dependsOn.length > DEPENDENCIES_MAX) {
    refuse("options.depends_on", `names more than ${DEPENDENCIES_MAX} jobs`);
  }
  const time = (at: Date | undefined, field: string) => read(() => decodeTime(at, field), null);
  const jobId = (id: string, field: string) => read(() => check.jobId(id, field), "");
  const noBranch: BranchPoint | null = null;
  const options = {
    owner: owner === "" ? "" : read(() => check.nodeId(owner, "options.owner"), ""),
    priority,
    startAfterMs: time(message.startAfterTime, "options.start_after_time"),
    deadlineMs: time(message.deadlineTime, "options.deadline_time"),
    dependsOn: dependsOn.map((id, i) => jobId(id, `options.depends_on[${i}]`)),
    branch: read(() => (branch ? decodeBranch(branch, "options.branch") : noBranch), noBranch),
    preview: message.preview,
    labels,
  };
  refuseViolations(violations);
  return { ...options, owner: options.owner || JOB_OPTIONS_DEFAULT.owner };
}

function encodeClip(clip: ClipView): wire.Clip {
  const { state, stages, outputs, error, stepsKept, ...rest } = clip;
  return {
    ...rest,
    stepsKept: [...stepsKept],
    state: STATE_ON_WIRE[state],
    stages: stages.map(({ stage, nodeIds, seconds, attempts }) => ({
      stage: STAGE_ON_WIRE[stage],
      nodeIds: [...nodeIds],
      seconds,
      attempts,
    })),
    outputs: outputs.map(encodeOutput),
    errorCode: error?.code ?? "",
    errorDetail: error?.detail ?? "",
  };
}

function decodeClip(clip: wire.Clip, field: string): ClipView {
  const { state, stages, outputs, errorCode, errorDetail, ...rest } = clip;
  return {
    ...rest,
    state: check.fromWire(STATE_ON_WIRE, state, `${field}.state`),
    stages: stages.map((stage, i) => decodeStage(stage, `${field}.stages[${i}]`)),
    outputs: outputs.map((output, i) => decodeOutput(output, `${field}.outputs[${i}]`)),
    error: errorCode === "" ? null : { code: knownCode(errorCode), detail: errorDetail },
  };
}

function decodeStage(stage: wire.StageReport, field: string): StageView {
  const { nodeIds, attempts } = stage;
  return {
    stage: check.fromWire(STAGE_ON_WIRE, stage.stage, `${field}.stage`),
    nodeIds,
    seconds: check.seconds(stage.seconds, `${field}.seconds`),
    attempts,
  };
}

/** A code of a newer coordinator is a failure all the same. */
function knownCode(code: string): FarmErrorCode {
  return isFarmErrorCode(code) ? code : "runtime-failed";
}
