/** @file The life of jobs and their clips: created, started, ended. Only `reduceFarm` calls these. */
import type { JobState } from "../../shared/farm/job.js";
import { isTerminal } from "../../shared/farm/job.js";
import type { Output } from "../../shared/farm/work.js";
import type { FarmEffect } from "./events.js";
import type { Farm } from "./farm.js";
import type { Clip, Job, NewJob } from "./job.js";
import type { TaskFailure } from "./task.js";
import { planTasks } from "./task-graph.js";

/** A job id or request id that is there already changes nothing. */
export function createJob(farm: Farm, newJob: NewJob, atMs: number): FarmEffect[] {
  if (farm.jobs.has(newJob.jobId) || farm.jobIdByRequestId.has(newJob.requestId)) return [];
  const { clips, tasks } = planTasks(newJob);
  farm.jobs.set(newJob.jobId, {
    ...newJob,
    state: "queued",
    clips,
    createdAtMs: atMs,
    startedAtMs: null,
    endedAtMs: null,
  });
  if (newJob.requestId !== "") farm.jobIdByRequestId.set(newJob.requestId, newJob.jobId);
  farm.openJobCount += 1;
  for (const task of tasks) {
    farm.tasks.set(task.taskId, task);
    if (task.state.kind === "ready") farm.readyTaskIds.add(task.taskId);
  }
  return [{ kind: "job-changed", jobId: newJob.jobId }];
}

/** The first grant of any of its tasks starts a clip, and the first clip its job. */
export function startClip(
  farm: Farm,
  jobId: string,
  clipIndex: number,
  atMs: number,
): FarmEffect[] {
  const job = farm.jobs.get(jobId)!;
  if (job.clips[clipIndex]!.state !== "queued") return [];
  setClip(farm, job, clipIndex, { state: "running" });
  if (job.state === "queued") {
    farm.jobs.set(jobId, { ...farm.jobs.get(jobId)!, state: "running", startedAtMs: atMs });
  }
  return [{ kind: "job-changed", jobId }];
}

/** Ends a clip, well when there is no failure, and its job when it was the last one. */
export function endClip(
  farm: Farm,
  jobId: string,
  clipIndex: number,
  failure: TaskFailure | null,
  outputs: readonly Output[],
  atMs: number,
): FarmEffect[] {
  const job = farm.jobs.get(jobId)!;
  if (isTerminal(job.clips[clipIndex]!.state)) return [];
  setClip(farm, job, clipIndex, { state: failure ? "failed" : "succeeded", failure, outputs });
  return [{ kind: "job-changed", jobId }, ...endJobIfComplete(farm, jobId, atMs)];
}

/** A job ends with its last clip: cancelled if any clip was, else failed if any did. */
export function endJobIfComplete(farm: Farm, jobId: string, atMs: number): FarmEffect[] {
  const job = farm.jobs.get(jobId)!;
  if (isTerminal(job.state) || !job.clips.every((clip) => isTerminal(clip.state))) return [];
  const has = (state: JobState) => job.clips.some((clip) => clip.state === state);
  const state = has("cancelled") ? "cancelled" : has("failed") ? "failed" : "succeeded";
  farm.jobs.set(jobId, { ...job, state, endedAtMs: atMs });
  farm.openJobCount -= 1;
  return [{ kind: "job-changed", jobId }];
}

function setClip(farm: Farm, job: Job, clipIndex: number, change: Partial<Clip>): void {
  const clips = job.clips.map((clip) => (clip.index === clipIndex ? { ...clip, ...change } : clip));
  farm.jobs.set(job.jobId, { ...job, clips });
}
