/** @file The life of jobs and their clips. Only `reduceFarm` calls these; they change the farm. */
import { assert } from "../../shared/core/assert.js";
import type { JobState } from "../../shared/farm/job.js";
import { isTerminal } from "../../shared/farm/job.js";
import type { Output } from "../../shared/farm/work.js";
import type { FarmEffect } from "./events.js";
import type { Farm } from "./farm-state.js";
import type { Clip, Job, NewJob } from "./job.js";
import { isHeld } from "./job.js";
import type { Task, TaskFailure } from "./task.js";
import { reduceTask } from "./task.js";
import { planTasks } from "./task-graph.js";

/** A job id or request id that is there already changes nothing. */
export function createJob(farm: Farm, newJob: NewJob, atMs: number): FarmEffect[] {
  if (farm.jobs.has(newJob.jobId) || farm.jobIdByRequestId.has(newJob.requestId)) return [];
  const { clips, tasks } = planTasks(newJob, atMs);
  const job: Job = {
    ...newJob,
    state: "queued",
    paused: false,
    due: newJob.startAfterMs === null || newJob.startAfterMs <= atMs,
    admitted: !newJob.quotaBound,
    waitsFor: newJob.dependsOn,
    run: 1,
    failedOn: [],
    swept: false,
    clips,
    createdAtMs: atMs,
    startedAtMs: null,
    endedAtMs: null,
  };
  farm.jobs.set(job.jobId, job);
  if (job.requestId !== "") farm.jobIdByRequestId.set(job.requestId, job.jobId);
  if (!job.due) farm.notDueJobIds.add(job.jobId);
  if (!job.admitted) farm.unadmittedJobIds.add(job.jobId);
  countOpen(farm, job, 1);
  for (const task of tasks) farm.tasks.set(task.taskId, task);
  return waitForOthers(farm, job.jobId, atMs);
}

/** A job that begins is one more open job, with its tasks; one that ends is one less. */
export function countOpen(farm: Farm, { clips, owner, admitted }: Job, change: 1 | -1): void {
  farm.openJobCount += change;
  if (admitted) countAdmitted(farm, owner, change);
  const tasks = clips.reduce((count, clip) => count + clip.taskIds.length, 0);
  farm.openTaskCount += change * tasks;
}

function countAdmitted(farm: Farm, owner: string, change: 1 | -1): void {
  const count = (farm.admittedCounts.get(owner) ?? 0) + change;
  if (count === 0) farm.admittedCounts.delete(owner);
  else farm.admittedCounts.set(owner, count);
}

/** Lets a job in; one that was let in, or has ended, stays as it is. */
export function admitJob(farm: Farm, jobId: string): FarmEffect[] {
  if (!farm.unadmittedJobIds.delete(jobId)) return [];
  countAdmitted(farm, jobById(farm, jobId).owner, 1);
  return changeJob(farm, jobId, { admitted: true });
}

/**
 * Lets a job wait for those of its dependencies that are still open, and start without those that
 * have succeeded. One that ended otherwise, or is gone, will tell nobody any more: the job fails.
 */
export function waitForOthers(farm: Farm, jobId: string, atMs: number): FarmEffect[] {
  const stateOf = (id: string) => farm.jobs.get(id)?.state ?? "deleted";
  const waitsFor = jobById(farm, jobId).waitsFor.filter((id) => stateOf(id) !== "succeeded");
  const effects = changeJob(farm, jobId, { waitsFor });
  const hopeless = waitsFor.find((id) => {
    const state = stateOf(id);
    return state === "deleted" || isTerminal(state);
  });
  if (hopeless !== undefined) {
    const failed = failDependent(farm, jobId, { id: hopeless, state: stateOf(hopeless) }, atMs);
    return [...effects, ...failed];
  }
  for (const id of waitsFor) {
    const waiters = waitersOf(farm, id).filter((waiter) => waiter !== jobId);
    farm.waitingJobIds.set(id, [...waiters, jobId]);
  }
  return effects;
}

/** Puts the ready tasks of a job into the queue, or takes them out while the job is held. */
function queueReady(farm: Farm, job: Job): void {
  const held = isHeld(job) || isTerminal(job.state);
  for (const clip of job.clips) {
    for (const taskId of clip.taskIds) {
      const task = farm.tasks.get(taskId);
      if (held || task?.state.kind !== "ready") farm.ready.remove(taskId);
      else {
        const { stage } = task;
        farm.ready.add({ taskId, stage, owner: job.owner, priority: job.priority });
      }
    }
  }
}

/** Changes what holds a job or its place in the queue; nothing happens after its end. */
export function changeJob(
  farm: Farm,
  jobId: string,
  change: Partial<Pick<Job, "paused" | "due" | "admitted" | "waitsFor" | "priority">>,
): FarmEffect[] {
  const before = farm.jobs.get(jobId);
  if (!before || isTerminal(before.state)) return [];
  const job = { ...before, ...change };
  farm.jobs.set(jobId, job);
  if (job.due) farm.notDueJobIds.delete(jobId);
  queueReady(farm, job);
  return [{ kind: "job-changed", jobId }];
}

/** The first grant of any of its tasks starts a clip, and the first clip its job. */
export function startClip(farm: Farm, jobId: string, clipIndex: number, atMs: number): void {
  const job = jobById(farm, jobId);
  if (job.clips[clipIndex]!.state !== "queued") return;
  setClip(farm, jobId, clipIndex, { state: "running" });
  if (job.state === "queued") {
    const startedAtMs = job.startedAtMs ?? atMs;
    farm.jobs.set(jobId, { ...jobById(farm, jobId), state: "running", startedAtMs });
  }
}

/** Ends a clip, well when there is no failure, and its job when it was the last one. */
export function endClip(
  farm: Farm,
  jobId: string,
  clipIndex: number,
  end: { readonly failure: TaskFailure | null; readonly outputs: readonly Output[] },
  atMs: number,
): FarmEffect[] {
  if (isTerminal(jobById(farm, jobId).clips[clipIndex]!.state)) return [];
  setClip(farm, jobId, clipIndex, { state: end.failure ? "failed" : "succeeded", ...end });
  return [{ kind: "job-changed", jobId }, ...endJobIfComplete(farm, jobId, atMs)];
}

/** How a job ends whose clips ended each by itself: as badly as one of them did. */
const WORST_FIRST = ["cancelled", "expired", "failed"] as const;

/** A job ends with its last clip. */
function endJobIfComplete(farm: Farm, jobId: string, atMs: number): FarmEffect[] {
  const { state, clips } = jobById(farm, jobId);
  if (isTerminal(state) || !clips.every((clip) => isTerminal(clip.state))) return [];
  const worst = WORST_FIRST.find((bad) => clips.some((clip) => clip.state === bad));
  return endJob(farm, jobId, worst ?? "succeeded", atMs);
}

/** The one end of a run, once all of its clips have ended. */
export function endJob(farm: Farm, jobId: string, state: JobState, atMs: number): FarmEffect[] {
  const job = jobById(farm, jobId);
  farm.jobs.set(jobId, { ...job, state, endedAtMs: atMs });
  countOpen(farm, job, -1);
  farm.notDueJobIds.delete(jobId);
  farm.unadmittedJobIds.delete(jobId);
  return [{ kind: "job-changed", jobId }, ...tellWaiting(farm, jobId, state, atMs)];
}

/** Jobs that waited for this one go on, or fail with it. */
function tellWaiting(farm: Farm, jobId: string, state: JobState, atMs: number): FarmEffect[] {
  const waiting = waitersOf(farm, jobId);
  farm.waitingJobIds.delete(jobId);
  return waiting.flatMap((id) => {
    const waiter = farm.jobs.get(id);
    if (!waiter || isTerminal(waiter.state)) return [];
    if (state === "succeeded") {
      return changeJob(farm, id, { waitsFor: waiter.waitsFor.filter((w) => w !== jobId) });
    }
    return failDependent(farm, id, { id: jobId, state }, atMs);
  });
}

function failDependent(
  farm: Farm,
  jobId: string,
  on: { readonly id: string; readonly state: string },
  atMs: number,
): FarmEffect[] {
  const detail = `job ${on.id}, which it depends on, is ${on.state}`;
  const failure: TaskFailure = { code: "dependency-failed", detail };
  const job = jobById(farm, jobId);
  cancelUnstarted(farm, job, atMs);
  return job.clips.flatMap((clip) =>
    endClip(farm, jobId, clip.index, { failure, outputs: [] }, atMs),
  );
}

/** A job that waited for another was held from the start, so no node has to be told. */
function cancelUnstarted(farm: Farm, job: Job, atMs: number): void {
  for (const taskId of job.clips.flatMap((clip) => clip.taskIds)) {
    const [task, effects] = reduceTask(taskById(farm, taskId), { kind: "cancelled", atMs });
    assert(effects.length === 0, `no node to work on ${taskId}`);
    farm.tasks.set(taskId, task);
    farm.ready.remove(taskId);
  }
}

export function jobById(farm: Farm, jobId: string): Job {
  const job = farm.jobs.get(jobId);
  assert(job, `job ${jobId}`);
  return job;
}

export function taskById(farm: Pick<Farm, "tasks">, taskId: string): Task {
  const task = farm.tasks.get(taskId);
  assert(task, `task ${taskId}`);
  return task;
}

/** The tasks of one clip, in the order of its stages and chunks. */
export function tasksOf(farm: Pick<Farm, "tasks">, clip: Clip): Task[] {
  return clip.taskIds.map((taskId) => taskById(farm, taskId));
}

function waitersOf(farm: Farm, jobId: string): readonly string[] {
  return farm.waitingJobIds.get(jobId) ?? [];
}

export function setClip(farm: Farm, jobId: string, clipIndex: number, change: Partial<Clip>): void {
  const job = jobById(farm, jobId);
  const clips = job.clips.map((clip) => (clip.index === clipIndex ? { ...clip, ...change } : clip));
  farm.jobs.set(jobId, { ...job, clips });
}
