/** @file What becomes of a job after its creation: paused, stopped, retried, swept, deleted. */
import { isTerminal } from "../../shared/farm/job.js";
import type { FarmEffect, FarmEvent, RetryScope } from "./events.js";
import type { Farm } from "./farm-state.js";
import { cancelTasks, changeTask } from "./farm-tasks.js";
import type { Clip, Job } from "./job.js";
import { changeJob, countOpen, endJob, jobById, tasksOf, waitForOthers } from "./job-machine.js";
import type { Task, TaskFailure } from "./task.js";
import { isEnded } from "./task.js";
import { isFed } from "./task-graph.js";

type JobRetried = Extract<FarmEvent, { readonly kind: "job-retried" }>;

/** Nothing new of the job starts; what is being denoised stops at the next step boundary. */
export function pauseJob(farm: Farm, jobId: string, atMs: number): FarmEffect[] {
  const effects = changeJob(farm, jobId, { paused: true });
  if (effects.length === 0) return [];
  const tasks = jobById(farm, jobId).clips.flatMap((clip) => clip.taskIds);
  return [
    ...effects,
    ...tasks.flatMap((taskId) => changeTask(farm, taskId, { kind: "asked-to-yield", atMs })),
  ];
}

/**
 * Ends a job that has not ended, by its owner's word or by its deadline. Clips that were published
 * before stay; the publication of any other one comes too late.
 */
export function stopJob(
  farm: Farm,
  jobId: string,
  state: "cancelled" | "expired",
  atMs: number,
): FarmEffect[] {
  const job = farm.jobs.get(jobId);
  if (!job || isTerminal(job.state)) return [];
  const effects = job.clips.flatMap((clip) => cancelTasks(farm, clip, atMs));
  const failure = state === "expired" ? lateness(job) : null;
  const clips = job.clips.map((clip) =>
    isTerminal(clip.state) ? clip : { ...clip, state, failure },
  );
  farm.jobs.set(jobId, { ...jobById(farm, jobId), clips });
  return [...effects, ...endJob(farm, jobId, state, atMs)];
}

function lateness({ deadlineMs }: Job): TaskFailure {
  const time = new Date(deadlineMs ?? 0).toISOString();
  const detail = `the job's deadline, ${time}, passed before the clip was done; retry takes it away`;
  return { code: "deadline", detail };
}

/**
 * Does again what failed, expired or was cancelled, or one chunk of a clip whatever became of it. What
 * was done stays done. A job that had ended runs anew: its next manifests are of the next run.
 */
export function retryJob(
  farm: Farm,
  { jobId, what, deadlineMs }: JobRetried,
  atMs: number,
): FarmEffect[] {
  const job = farm.jobs.get(jobId);
  if (!job) return [];
  const chosen = job.clips.filter((clip) =>
    what.kind === "job" ? isRetryable(clip) : clip.index === what.clipIndex,
  );
  const again = chosen.flatMap((clip) => tasksAgain(tasksOf(farm, clip), what, clip.swept));
  if (again.length === 0) return [];
  const clipIndexes = new Set(again.map((task) => task.clipIndex));
  reopen(farm, { ...job, deadlineMs: deadlineMs ?? deadlineLeft(job, atMs) }, clipIndexes);
  const effects = again.flatMap((task) => {
    const stages = tasksOf(farm, jobById(farm, jobId).clips[task.clipIndex]!);
    return changeTask(farm, task.taskId, { kind: "reset", blocked: !isFed(task, stages), atMs });
  });
  return [...effects, ...waitForOthers(farm, jobId, atMs)];
}

/** Lets go of everything in the store but the finished files; a retry begins at the picture. */
export function sweepJob(farm: Farm, jobId: string): FarmEffect[] {
  const job = farm.jobs.get(jobId);
  if (!job || !isTerminal(job.state) || job.swept) return [];
  const clips = job.clips.map((clip) => ({ ...clip, swept: true }));
  farm.jobs.set(jobId, { ...job, clips, swept: true });
  return [{ kind: "sweep", jobId, outputs: false }];
}

/** Forgets a job that has ended, and lets go of what it left in the store. */
export function deleteJob(farm: Farm, jobId: string): FarmEffect[] {
  const job = farm.jobs.get(jobId);
  if (!job || !isTerminal(job.state)) return [];
  for (const taskId of job.clips.flatMap((clip) => clip.taskIds)) farm.tasks.delete(taskId);
  farm.jobs.delete(jobId);
  farm.jobIdByRequestId.delete(job.requestId);
  farm.usage.forgetJob(jobId);
  return [
    { kind: "sweep", jobId, outputs: true },
    { kind: "job-changed", jobId },
  ];
}

/** One that has passed would end the next run at once. */
function deadlineLeft({ deadlineMs }: Job, atMs: number): number | null {
  return deadlineMs !== null && deadlineMs > atMs ? deadlineMs : null;
}

function isRetryable({ state }: Clip): boolean {
  return isTerminal(state) && state !== "succeeded";
}

/** In the order of stages, so that each finds its inputs reset before it. */
function tasksAgain(tasks: readonly Task[], what: RetryScope, swept: boolean): Task[] {
  const isUndone = (t: Task) => t.state.kind === "failed" || t.state.kind === "cancelled";
  const isWanted = what.kind === "chunk" || tasks.some(isUndone);
  // Nothing to go on from: everything anew.
  if (swept) return isWanted ? [...tasks] : [];
  if (what.kind !== "chunk") return tasks.filter(isUndone);
  const isChunk = (t: Task) => t.stage === "decode" && t.chunkIndex === what.chunkIndex;
  // What the chunk waits for, or what waits for it, may have been cancelled.
  if (!tasks.some(isChunk)) return [];
  // Files are being made of the chunk, or are about to be: it stays until they are.
  const isInUse = (t: Task) => t.stage === "mux" && !isEnded(t) && t.state.kind !== "blocked";
  if (tasks.some(isInUse)) return [];
  return tasks.filter((t) => isUndone(t) || (isEnded(t) && (isChunk(t) || t.stage === "mux")));
}

function reopen(farm: Farm, job: Job, clipIndexes: ReadonlySet<number>): void {
  const again = { state: "running", failure: null, outputs: [], swept: false, remakes: 0 } as const;
  const clips = job.clips.map((clip) =>
    clipIndexes.has(clip.index) ? { ...clip, ...again, run: clip.run + 1 } : clip,
  );
  if (!isTerminal(job.state)) {
    farm.jobs.set(job.jobId, { ...job, clips, failedOn: [] });
    return;
  }
  const admitted = !job.quotaBound;
  countOpen(farm, { ...job, admitted }, 1);
  if (!job.due) farm.notDueJobIds.add(job.jobId);
  if (!admitted) farm.unadmittedJobIds.add(job.jobId);
  farm.jobs.set(job.jobId, {
    ...job,
    clips,
    admitted,
    state: "running",
    run: job.run + 1,
    failedOn: [],
    swept: false,
    endedAtMs: null,
  });
}
