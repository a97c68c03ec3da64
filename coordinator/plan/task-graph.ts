/** @file The tasks of a clip, what each waits for, and the work that a node is handed. */
import { assert } from "../../shared/core/assert.js";
import {
  type ClipParameters,
  clipCountOf,
  clipParametersOf,
  imageIndexOf,
  noisePlanOf,
  planChunks,
} from "../../shared/farm/parameters.js";
import type { Partner, Stage, Work } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type { Clip, Job, NewJob } from "./job.js";
import type { Member, Task } from "./task.js";

/** Condition, denoise and mux, and the decode chunks. */
export function tasksPerClip({
  numFrames,
  decodeChunkSize,
}: Pick<ClipParameters, "numFrames" | "decodeChunkSize">): number {
  return 3 + planChunks(numFrames, decodeChunkSize).length;
}

/** Clips and tasks of a new job: only the condition stages are ready, the rest is blocked. */
export function planTasks(job: NewJob, atMs: number): { clips: Clip[]; tasks: Task[] } {
  const { numFrames, decodeChunkSize } = job.parameters;
  const clipCount = clipCountOf(job.parameters, job.images.length);
  const chunkCount = planChunks(numFrames, decodeChunkSize).length;
  const clips: Clip[] = [];
  const tasks: Task[] = [];
  for (let index = 0; index < clipCount; index++) {
    const own = [
      newTask(job.jobId, index, "condition", 0),
      { ...newTask(job.jobId, index, "denoise", 0), ...branched(job, atMs) },
      ...Array.from({ length: chunkCount }, (_, i) => newTask(job.jobId, index, "decode", i)),
      newTask(job.jobId, index, "mux", 0),
    ];
    tasks.push(...own);
    clips.push({
      index,
      imageIndex: imageIndexOf(job.parameters, index),
      state: "queued",
      taskIds: own.map((task) => task.taskId),
      outputs: [],
      failure: null,
      run: 1,
      swept: false,
      remakes: 0,
    });
  }
  return { clips, tasks };
}

/** A branched clip resumes from the other clip's latents as if they were its own. */
function branched(job: NewJob, atMs: number): Pick<Task, "origin" | "checkpoint"> {
  if (!job.branch || !job.branchLatents) return { origin: null, checkpoint: null };
  const origin = { step: job.branch.step, blob: job.branchLatents };
  return { origin, checkpoint: { ...origin, atMs } };
}

function newTask(jobId: string, clipIndex: number, stage: Stage, chunkIndex: number): Task {
  const suffix = stage === "decode" ? `decode-${chunkIndex}` : stage;
  return {
    taskId: `${jobId}-${clipIndex}-${suffix}`,
    jobId,
    clipIndex,
    stage,
    chunkIndex,
    state: { kind: stage === "condition" ? "ready" : "blocked" },
    epoch: 0,
    attempts: 0,
    failures: [],
    memoryAboveBytes: null,
    workedNodeIds: [],
    plans: [],
    origin: null,
    checkpoint: null,
    kept: [],
    firstGrantMs: null,
    endMs: null,
  };
}

/** Stages whose results a stage reads. */
const READS: Readonly<Record<Stage, readonly Stage[]>> = {
  condition: [],
  denoise: ["condition"],
  decode: ["denoise"],
  mux: ["denoise", "decode"],
};

/** The tasks of the clip whose results a task reads. */
export function inputsOf(task: Task, clipTasks: readonly Task[]): Task[] {
  return clipTasks.filter(({ stage }) => READS[task.stage].includes(stage));
}

/** Whether everything that a task reads has been made. */
export function isFed(task: Task, clipTasks: readonly Task[]): boolean {
  return inputsOf(task, clipTasks).every(({ state }) => state.kind === "done");
}

/**
 * The work of one member of a grant.
 *
 * @param clipTasks the clip's tasks, whose results are the inputs
 * @param partner the other member and its bus, null unless the task is granted to a pair
 */
export function workOf(
  job: Job,
  task: Task,
  clipTasks: readonly Task[],
  member: Member,
  partner: Partner | null,
): Work {
  const parameters = clipParametersOf(job.parameters, task.clipIndex);
  const clip = job.clips[task.clipIndex]!;
  switch (task.stage) {
    case "condition":
      return {
        stage: "condition",
        parameters,
        noise: noisePlanOf(job.parameters, job.images.length, clip.index),
        image: job.images[clip.imageIndex]!,
        preview: job.preview,
      };
    case "denoise":
      return {
        stage: "denoise",
        preview: job.preview,
        parameters,
        conditioning: resultBlob(clipTasks, "condition"),
        resume: task.checkpoint && { step: task.checkpoint.step, blob: task.checkpoint.blob },
        pair: partner && member.half ? { half: member.half, partner } : null,
      };
    case "decode":
      return {
        stage: "decode",
        parameters,
        latents: resultBlob(clipTasks, "denoise"),
        ...planChunks(parameters.numFrames, parameters.decodeChunkSize)[task.chunkIndex]!,
        keepFloat: job.parameters.formats.includes("safetensors"),
      };
    case "mux":
      return {
        stage: "mux",
        parameters,
        chunks: clipTasks.filter((t) => t.stage === "decode").map(blobOf),
        latents: resultBlob(clipTasks, "denoise"),
        formats: job.parameters.formats,
        noise: noisePlanOf(job.parameters, job.images.length, clip.index),
        modelDigest: job.modelDigest,
        modelName: job.modelName,
        branch: job.branch,
      };
  }
}

function resultBlob(clipTasks: readonly Task[], stage: Stage): BlobRef {
  const task = clipTasks.find((t) => t.stage === stage);
  assert(task, `a ${stage} task in every clip`);
  return blobOf(task);
}

function blobOf(task: Task): BlobRef {
  assert(task.state.kind === "done" && task.state.result.blob, `a result blob of ${task.taskId}`);
  return task.state.result.blob;
}
