/**
 * @file What falls due with time: jobs that may start now or are too late, tasks that have waited long
 * enough, and what ended jobs leave behind.
 */
import type { Farm } from "./farm-state.js";
import { BIGGER_NODE_MS_MAX } from "./limits.js";

export interface Retention {
  /**
   * How long conditioning, latents, step checkpoints and chunks of an ended job are kept, so that a
   * chunk can be decoded again.
   */
  readonly intermediatesKeptMs: number;
  /** How long an ended job is kept with its finished files. */
  readonly outputsKeptMs: number;
}

export type Due =
  | {
      readonly kind: "job-due" | "job-expired" | "job-swept" | "job-deleted";
      readonly jobId: string;
    }
  | { readonly kind: "task-given-up"; readonly taskId: string };

/** Events that are due; time is an argument. */
export function planHousekeeping(farm: Farm, retention: Retention, nowMs: number): Due[] {
  const due: Due[] = [];
  for (const jobId of farm.notDueJobIds) {
    const startAfterMs = farm.jobs.get(jobId)?.startAfterMs ?? 0;
    if (startAfterMs <= nowMs) due.push({ kind: "job-due", jobId });
  }
  for (const [taskId, sinceMs] of farm.outgrown) {
    const isOver = sinceMs !== null && nowMs - sinceMs >= BIGGER_NODE_MS_MAX;
    if (isOver) due.push({ kind: "task-given-up", taskId });
  }
  for (const { jobId, endedAtMs, deadlineMs, swept } of farm.jobs.values()) {
    if (endedAtMs === null) {
      if (deadlineMs !== null && deadlineMs <= nowMs) due.push({ kind: "job-expired", jobId });
      continue;
    }
    const ageMs = nowMs - endedAtMs;
    if (ageMs >= retention.outputsKeptMs) due.push({ kind: "job-deleted", jobId });
    else if (!swept && ageMs >= retention.intermediatesKeptMs) {
      due.push({ kind: "job-swept", jobId });
    }
  }
  return due;
}
