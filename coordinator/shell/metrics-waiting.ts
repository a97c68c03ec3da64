/** @file The tasks that could start now, by stage, with the time since they could: O(1) to ask. */
import { isTerminal } from "../../shared/farm/job.js";
import type { Stage } from "../../shared/farm/work.js";
import type { FarmEffect, FarmEvent } from "../plan/events.js";
import type { Farm } from "../plan/farm-state.js";
import type { Clip, Job } from "../plan/job.js";
import { isHeld } from "../plan/job.js";
import type { Task } from "../plan/task.js";

export const STAGES: readonly Stage[] = ["condition", "denoise", "decode", "mux"];

export class WaitingTasks {
  /** Milliseconds since 1970 by task, the longest waiting first. */
  readonly #sinceMs = new Map<Stage, Map<string, number>>(STAGES.map((s) => [s, new Map()]));

  count(stage: Stage): number {
    return this.#of(stage).size;
  }

  /** Null when nothing waits. */
  oldestSinceMs(stage: Stage): number | null {
    const [first] = this.#of(stage).values();
    return first ?? null;
  }

  clear(): void {
    for (const waiting of this.#sinceMs.values()) waiting.clear();
  }

  /** What waited when the coordinator before this one ended began to wait when its job was due. */
  recover(farm: Farm): void {
    this.clear();
    const jobs = [...farm.jobs.values()];
    for (const job of jobs.sort((a, b) => dueMs(a) - dueMs(b))) {
      for (const task of tasksOf(farm, job.clips)) this.#note(job, task, dueMs(job));
    }
  }

  /** @returns the tasks that did not wait before this event and do now */
  applied(farm: Farm, event: FarmEvent, effects: readonly FarmEffect[]): Task[] {
    if (event.kind === "job-deleted") return [];
    const begun: Task[] = [];
    for (const jobId of changedJobs(event, effects)) {
      const job = farm.jobs.get(jobId);
      if (!job) continue;
      for (const task of tasksOf(farm, clipsOf(farm, job, event))) {
        if (this.#note(job, task, event.atMs)) begun.push(task);
      }
    }
    return begun;
  }

  #note(job: Job, task: Task, atMs: number): boolean {
    const waiting = this.#of(task.stage);
    const isWaiting = task.state.kind === "ready" && !isHeld(job) && !isTerminal(job.state);
    if (!isWaiting) {
      waiting.delete(task.taskId);
      return false;
    }
    if (waiting.has(task.taskId)) return false;
    waiting.set(task.taskId, atMs);
    return true;
  }

  #of(stage: Stage): Map<string, number> {
    return this.#sinceMs.get(stage)!;
  }
}

/** A job that is created or set free changes without an effect of its own. */
function changedJobs(event: FarmEvent, effects: readonly FarmEffect[]): Set<string> {
  const changed = new Set<string>();
  if (event.kind === "job-created") changed.add(event.job.jobId);
  for (const effect of effects) if (effect.kind === "job-changed") changed.add(effect.jobId);
  return changed;
}

/** A task's event concerns its own clip; a job may have thousands of others. */
function clipsOf(farm: Farm, job: Job, event: FarmEvent): readonly Clip[] {
  if (!("taskId" in event)) return job.clips;
  const task = farm.tasks.get(event.taskId);
  if (task?.jobId !== job.jobId) return job.clips;
  return [job.clips[task.clipIndex]!];
}

function* tasksOf(farm: Farm, clips: readonly Clip[]): Generator<Task> {
  for (const clip of clips) {
    for (const taskId of clip.taskIds) {
      const task = farm.tasks.get(taskId);
      if (task) yield task;
    }
  }
}

function dueMs(job: Job): number {
  return Math.max(job.createdAtMs, job.startAfterMs ?? 0);
}
