/** @file A job as its users see it, out of the state of the farm. */
import type { ClipView, JobView, StageView } from "../../shared/farm/job.js";
import { isTerminal, OUTPUTS_NAMED_MAX } from "../../shared/farm/job.js";
import { planChunks } from "../../shared/farm/parameters.js";
import type { Stage } from "../../shared/farm/work.js";
import type { Farm } from "./farm-state.js";
import type { Clip, Job } from "./job.js";
import { tasksOf } from "./job-machine.js";
import type { Task } from "./task.js";
import { secondsBetween } from "./task-account.js";
import { whyNotNow } from "./why-not-now.js";

/** Reports of running denoise tasks, which are never journalled. */
export interface Progress {
  readonly epoch: number;
  readonly stepsDone: number;
  readonly secondsPerStep: number;
}

const STAGES: readonly Stage[] = ["condition", "denoise", "decode", "mux"];

/**
 * @param progress the last report of each running denoise task, by task id
 * @param nowMs for the seconds of stages that still run
 */
export function viewJob(
  farm: Farm,
  job: Job,
  progress: ReadonlyMap<string, Progress>,
  nowMs: number,
): JobView {
  const { jobId, parameters, modelDigest, modelName, waitsFor, run } = job;
  const { createdAtMs, startedAtMs, endedAtMs } = job;
  const { owner, priority, startAfterMs, deadlineMs, dependsOn, branch, preview, labels } = job;
  const outputCount = job.clips.reduce((count, clip) => count + clip.outputs.length, 0);
  const at: ViewOptions = { progress, nowMs, namesOutputs: outputCount <= OUTPUTS_NAMED_MAX };
  return {
    jobId,
    state: job.paused && !isTerminal(job.state) ? "paused" : job.state,
    parameters,
    clips: job.clips.map((clip) => viewClip(farm, job, clip, at)),
    modelDigest,
    modelName,
    createdAtMs,
    startedAtMs,
    endedAtMs,
    options: { owner, priority, startAfterMs, deadlineMs, dependsOn, branch, preview, labels },
    usage: farm.usage.ofJob(jobId),
    waitsFor,
    run,
    whyNotNow: whyNotNow(farm, job, nowMs),
  };
}

interface ViewOptions {
  readonly progress: ReadonlyMap<string, Progress>;
  readonly nowMs: number;
  readonly namesOutputs: boolean;
}

function viewClip(
  farm: Farm,
  job: Job,
  clip: Clip,
  { progress, nowMs, namesOutputs }: ViewOptions,
): ClipView {
  const tasks = tasksOf(farm, clip);
  const denoise = tasks.find((task) => task.stage === "denoise")!;
  const chunks = tasks.filter((task) => task.stage === "decode");
  const steps = job.stepsTotal;
  const done = denoise.state.kind === "done";
  const running = progress.get(denoise.taskId);
  return {
    index: clip.index,
    imageIndex: clip.imageIndex,
    state: clip.state,
    stepsDone: done ? steps : (running?.stepsDone ?? denoise.checkpoint?.step ?? 0),
    stepsKept: clip.swept ? [] : denoise.kept.map(({ step }) => step),
    stepsTotal: steps,
    chunksDone: chunks.filter((task) => task.state.kind === "done").length,
    chunksTotal: planChunks(job.parameters.numFrames, job.parameters.decodeChunkSize).length,
    plan: denoise.plans.filter((plan, i) => plan !== denoise.plans[i - 1]).join(", then "),
    secondsPerStep:
      denoise.state.kind === "done"
        ? denoise.state.result.secondsPerStep
        : (running?.secondsPerStep ?? 0),
    stages: STAGES.flatMap((stage) => viewStage(tasks, stage, nowMs)),
    outputs: namesOutputs ? clip.outputs : [],
    outputCount: clip.outputs.length,
    error: clip.failure,
  };
}

function viewStage(tasks: readonly Task[], stage: Stage, nowMs: number): StageView[] {
  const started = tasks.filter((task) => task.stage === stage && task.firstGrantMs !== null);
  if (started.length === 0) return [];
  const firstMs = Math.min(...started.map((task) => task.firstGrantMs ?? nowMs));
  const lastMs = Math.max(...started.map((task) => task.endMs ?? nowMs));
  return [
    {
      stage,
      nodeIds: [...new Set(started.flatMap((task) => task.workedNodeIds))],
      seconds: secondsBetween(firstMs, lastMs),
      attempts: started.reduce((sum, task) => sum + task.attempts, 0),
    },
  ];
}
