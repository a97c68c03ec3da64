/** @file Jobs whose time of start has come. Time is an argument. */
import type { Farm } from "./farm-state.js";

/** @returns ids of jobs that were to start later and may start now */
export function dueJobs(farm: Farm, nowMs: number): string[] {
  return [...farm.notDueJobIds].filter((jobId) => {
    const startAfterMs = farm.jobs.get(jobId)?.startAfterMs ?? 0;
    return startAfterMs <= nowMs;
  });
}
