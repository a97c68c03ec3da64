/** @file What would become of a job if it were submitted now: who could do it, how, and how soon. */
import type { DryRunView, JobOptions } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import {
  clipCountOf,
  clipParametersOf,
  isGuided,
  planChunks,
} from "../../shared/farm/parameters.js";
import type { Stage } from "../../shared/farm/work.js";
import { quotaReason } from "./admission.js";
import type { Farm } from "./farm-state.js";
import { recordOf } from "./farm-state.js";
import type { Job } from "./job.js";
import { isHeld } from "./job.js";
import { tasksOf } from "./job-machine.js";
import type { WorkKind } from "./learned.js";
import type { Node } from "./node.js";
import { refusalOf } from "./node-machine.js";
import type { Task } from "./task.js";
import { isEnded } from "./task.js";
import { holdReasons } from "./why-not-now.js";
import { workKindOf } from "./work-kind.js";

export interface WantedJob {
  readonly modelDigest: string;
  readonly parameters: JobParameters;
  /** Denoising steps of each clip. */
  readonly stepsTotal: number;
  readonly imageCount: number;
  readonly options: JobOptions;
  /** How many jobs its owner may have worked on at a time; null or absent: as many as come. */
  readonly runningJobsMax?: number | null;
}

/** Pure: reads the farm and changes nothing. */
export function planDryRun(farm: Farm, wanted: WantedJob, nowMs: number): DryRunView {
  const { parameters, options } = wanted;
  const nodes = [...farm.nodes.values()].map((node) => ({
    node,
    nodeId: node.info.nodeId,
    whyNot: whyNot(farm, node, wanted, nowMs),
  }));
  const able = nodes.filter((n) => n.whyNot === "").map((n) => n.node);
  const idle = able.filter((node) => node.gpuTaskId === null);
  const ahead = [...farm.jobs.values()].filter(
    (job) => job.endedAtMs === null && !isHeld(job) && job.priority >= options.priority,
  );
  const clips = clipCountOf(parameters, wanted.imageCount);
  const plan = planOf(parameters, able, idle, clips);
  return {
    nodes: nodes.map(({ node, nodeId, whyNot: why }) => ({
      nodeId,
      whyNot: why,
      memoryBytes: node.info.memoryBytes,
      tooSmallFor: tooSmallFor(farm, node, wanted, nowMs),
    })),
    plan,
    clips,
    chunksPerClip: planChunks(parameters.numFrames, parameters.decodeChunkSize).length,
    jobsAhead: ahead.length,
    etaSeconds: estimate(farm, wanted, clips, able, ahead),
    whyNotNow: whyNotNow(farm, wanted, { able, idle, nowMs }),
  };
}

const GPU_STAGES = ["condition", "denoise", "decode"] as const;

/** Stages of such a job that lately ran out of memory on a node with as much. */
function tooSmallFor(farm: Farm, { info }: Node, wanted: WantedJob, nowMs: number): Stage[] {
  const { numFrames, decodeChunkSize } = wanted.parameters;
  const chunks = planChunks(numFrames, decodeChunkSize).keys();
  const isTooSmall = (stage: Stage, chunkIndex: number) => {
    const kind = workKindOf(wanted, { stage, chunkIndex }, info);
    const tooLittle = farm.learned.tooLittleFor(kind, nowMs);
    return tooLittle !== null && info.memoryBytes <= tooLittle;
  };
  return GPU_STAGES.filter((stage) =>
    stage === "decode" ? [...chunks].some((i) => isTooSmall(stage, i)) : isTooSmall(stage, 0),
  );
}

function whyNot(farm: Farm, node: Node, wanted: WantedJob, nowMs: number): string {
  if (node.info.model.digest !== wanted.modelDigest) return "serves another checkpoint";
  if (node.stopping) return "stopping";
  return refusalOf(recordOf(farm, node.info.nodeId), nowMs) ?? "";
}

function planOf(
  parameters: JobParameters,
  able: readonly Node[],
  idle: readonly Node[],
  clips: number,
): "single" | "pair" {
  const isAnyGuided = Array.from({ length: clips }, (_, i) => clipParametersOf(parameters, i)).some(
    isGuided,
  );
  if (parameters.pair === "never" || !isAnyGuided) return "single";
  const canPair = (nodes: readonly Node[]) =>
    nodes.some((a) => nodes.some((b) => a !== b && a.info.planHash === b.info.planHash));
  if (parameters.pair === "always") return canPair(able) ? "pair" : "single";
  return idle.length > clips && canPair(idle) ? "pair" : "single";
}

function whyNotNow(
  farm: Farm,
  wanted: WantedJob,
  at: { readonly able: readonly Node[]; readonly idle: readonly Node[]; readonly nowMs: number },
): string[] {
  const { options, parameters } = wanted;
  const reasons: string[] = [];
  if (at.able.length === 0) reasons.push("no connected node can work on it");
  else if (at.idle.length === 0) reasons.push("every node that could work on it is busy");
  for (const stage of GPU_STAGES) {
    const isShort = (node: Node) => tooSmallFor(farm, node, wanted, at.nowMs).includes(stage);
    if (at.able.length > 0 && at.able.every(isShort)) {
      reasons.push(`${stage} lately ran out of memory on nodes as big as these`);
    }
  }
  if (parameters.formats.includes("mp4") && !at.able.some((node) => node.info.hasFfmpeg)) {
    reasons.push("no such node can write mp4");
  }
  const full = quotaReason(farm, options.owner, wanted.runningJobsMax ?? null);
  if (full !== null) reasons.push(full);
  const waitsFor = options.dependsOn.filter((id) => farm.jobs.get(id)?.state !== "succeeded");
  return [...reasons, ...holdReasons({ ...options, waitsFor }, at.nowMs)];
}

/** All work in front of it and its own, shared by the nodes that can do it. */
function estimate(
  farm: Farm,
  wanted: WantedJob,
  clips: number,
  able: readonly Node[],
  ahead: readonly Job[],
): number | null {
  const provider = able[0]?.info.provider;
  if (provider === undefined) return null;
  const own = secondsOfClip(farm, wanted, provider);
  if (own === null) return null;
  let total = clips * own;
  for (const job of ahead) {
    const left = secondsLeft(farm, job, provider);
    if (left === null) return null;
    total += left;
  }
  // However many nodes there are, the stages of one clip follow each other.
  return Math.max(total / able.length, own / Math.min(2, able.length));
}

function secondsOfClip(
  farm: Farm,
  {
    modelDigest,
    parameters,
    stepsTotal,
  }: Pick<WantedJob, "modelDigest" | "parameters" | "stepsTotal">,
  provider: string,
): number | null {
  const known = (stage: WorkKind["stage"], chunkFrames = 0) =>
    farm.learned.secondsOf({
      ...{ modelDigest, provider, stage, parameters, chunkFrames },
      plan: "single",
    });
  const step = known("denoise") ?? pairStep(farm, modelDigest, provider, parameters);
  const chunks = planChunks(parameters.numFrames, parameters.decodeChunkSize);
  const parts = [
    known("condition"),
    step === null ? null : step * stepsTotal,
    ...chunks.map(({ frameCount }) => known("decode", frameCount)),
    known("mux"),
  ];
  let sum = 0;
  for (const part of parts) {
    if (part === null) return null;
    sum += part;
  }
  return sum;
}

/** A step of a pair costs two nodes. */
function pairStep(
  farm: Farm,
  modelDigest: string,
  provider: string,
  parameters: JobParameters,
): number | null {
  const kind = { modelDigest, provider, stage: "denoise", parameters, chunkFrames: 0 } as const;
  const seconds = farm.learned.secondsOf({ ...kind, plan: "pair" });
  return seconds === null ? null : 2 * seconds;
}

/** The part of each clip whose tasks have not ended, counted by stages. */
function secondsLeft(farm: Farm, job: Job, provider: string): number | null {
  const clip = secondsOfClip(farm, job, provider);
  if (clip === null) return null;
  const share = (tasks: readonly Task[]) => tasks.filter((t) => !isEnded(t)).length / tasks.length;
  return job.clips.reduce((sum, one) => sum + clip * share(tasksOf(farm, one)), 0);
}
