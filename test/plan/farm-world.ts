/** @file A farm whose every event is stepped and scheduled as the shell does it, for tests of the plan. */
import { planAdmission } from "../../coordinator/plan/admission.js";
import type { FarmEffect, FarmEvent } from "../../coordinator/plan/events.js";
import { reduceFarm } from "../../coordinator/plan/farm.js";
import { emptyFarm, type Farm } from "../../coordinator/plan/farm-state.js";
import type { NewJob } from "../../coordinator/plan/job.js";
import type { NodeInfo } from "../../coordinator/plan/node.js";
import { planFarm, type SchedulePolicy } from "../../coordinator/plan/schedule.js";
import type { Occurrence } from "../../coordinator/shell/farm-loop.js";
import type { FarmErrorCode } from "../../shared/core/errors.js";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { ModelInfo } from "../../shared/farm/work.js";

const model: ModelInfo = {
  digest: "d".repeat(64),
  name: "demo",
  numFrames: 14,
  sampleSize: 16,
  vaeScaleFactor: 4,
  latentChannels: 4,
  numTrainTimesteps: 1000,
  stepRule: "as-asked",
};

export const node = (nodeId: string, change: Partial<NodeInfo> = {}): NodeInfo => ({
  nodeId,
  bootId: `boot-${nodeId}`,
  model,
  provider: "cpu",
  planHash: "equal",
  busAddress: `${nodeId}:1`,
  busToken: "t",
  hasFfmpeg: true,
  memoryBytes: 16 * 2 ** 30,
  prefers: "any",
  ...change,
});

export const jobParameters: JobParameters = {
  height: 64,
  width: 64,
  numFrames: 5,
  numInferenceSteps: 4,
  sigmas: null,
  minGuidanceScale: 1,
  maxGuidanceScale: 3,
  guidance: { kind: "linear" },
  fit: "stretch",
  fps: 7,
  motionBucketId: 127,
  noiseAugStrength: 0.02,
  decodeChunkSize: 2,
  cacheInterval: 1,
  numVideosPerPrompt: 1,
  seeds: [42n],
  latents: null,
  formats: ["mp4"],
  pair: "auto",
  clips: [],
};
const image = { key: "inputs/x", sha256: "0".repeat(64), size: 1 };

export type JobChange = Partial<JobParameters> & { images?: number; options?: Partial<NewJob> };

export class FarmWorld {
  readonly farm: Farm = emptyFarm();
  readonly effects: FarmEffect[] = [];
  policy: SchedulePolicy = { ownerAcceleratorsMax: null };
  nowMs = 1;

  constructor(...nodes: NodeInfo[]) {
    for (const info of nodes) this.send({ kind: "node-joined", node: info });
  }

  /** One event and what the scheduler makes of it; the effects of both. */
  send(occurrence: Occurrence | null): FarmEffect[] {
    const now: FarmEffect[] = [];
    const step = (o: Occurrence) => {
      const event: FarmEvent = { ...o, atMs: this.nowMs };
      now.push(...reduceFarm(this.farm, event));
    };
    if (occurrence) step(occurrence);
    for (const jobId of planAdmission(this.farm, this.policy.runningJobsMax)) {
      step({ kind: "job-admitted", jobId });
    }
    const { grants, yields } = planFarm(this.farm, this.policy, this.nowMs);
    for (const grant of grants) step({ kind: "task-granted", ...grant });
    for (const taskId of yields) step({ kind: "task-asked-to-yield", taskId });
    this.effects.push(...now);
    return now;
  }

  submit(jobId: string, change: JobChange = {}): FarmEffect[] {
    const { images = 1, options, ...own } = change;
    const job: NewJob = {
      jobId,
      parameters: { ...jobParameters, ...own },
      images: Array.from({ length: images }, () => image),
      modelDigest: model.digest,
      modelName: model.name,
      requestId: "",
      requestDigest: "",
      stepsTotal: 4,
      branchLatents: null,
      traceparent: null,
      ...JOB_OPTIONS_DEFAULT,
      ...options,
    };
    return this.send({ kind: "job-created", job });
  }

  /** The first member of the task's grant says that it is done. */
  finish(taskId: string): FarmEffect[] {
    const blob = { key: `out/${taskId}`, sha256: "1".repeat(64), size: 1 };
    const result = { blob, outputs: [], seconds: 1, secondsPerStep: 0.5 };
    return this.send({ kind: "task-finished", ...this.holder(taskId), result });
  }

  /** The first member of the task's grant, or the one named, says that it only stores. */
  end(taskId: string, nodeId?: string): FarmEffect[] {
    const holder = this.holder(taskId);
    return this.send({ kind: "task-ending", ...holder, nodeId: nodeId ?? holder.nodeId });
  }

  fail(taskId: string, code: FarmErrorCode): FarmEffect[] {
    const failure = { code, detail: "x" };
    return this.send({ kind: "task-failed", ...this.holder(taskId), failure });
  }

  yieldAt(taskId: string, step: number): FarmEffect[] {
    const checkpoint = { step, blob: image };
    return this.send({ kind: "task-yielded", ...this.holder(taskId), checkpoint });
  }

  lose(nodeId: string): FarmEffect[] {
    return this.send({ kind: "node-left", nodeId, bootId: `boot-${nodeId}`, stopped: false });
  }

  publish(jobId: string, clipIndex = 0): FarmEffect[] {
    const run = this.farm.jobs.get(jobId)?.clips[clipIndex]?.run ?? 1;
    return this.send({ kind: "clip-published", jobId, clipIndex, run });
  }

  /** Every stage of a clip up to the one named, each done by whoever holds it. */
  finishUpTo(last: "condition" | "denoise" | "decode" | "mux", jobId: string, clipIndex = 0): void {
    for (const taskId of this.farm.jobs.get(jobId)!.clips[clipIndex]!.taskIds) {
      this.finish(taskId);
      const isLastOfStage = this.farm.tasks.get(taskId)!.stage === last;
      if (isLastOfStage && last !== "decode") return;
      if (last === "decode" && this.holders(`${jobId}-${clipIndex}-mux`) !== "blocked") return;
    }
  }

  /** Node ids of the members, or the kind of state when nobody works on it. */
  holders(taskId: string): readonly string[] | string {
    const { state } = this.farm.tasks.get(taskId)!;
    return state.kind === "granted" ? state.members.map((m) => m.nodeId) : state.kind;
  }

  /** Who works on the task now, as its reports name it. */
  holder(taskId: string): { taskId: string; nodeId: string; epoch: number } {
    const { state, epoch } = this.farm.tasks.get(taskId)!;
    const nodeId = state.kind === "granted" ? state.members[0]!.nodeId : "nobody";
    return { taskId, nodeId, epoch };
  }
}
