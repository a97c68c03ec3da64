/**
 * @file Which jobs are let in: of each owner as many as he may have worked on at a time.
 *
 * A job of such an owner is taken and waits; it is let in by an event, so what was let in is the same
 * after a restart, however the bound has changed since.
 */
import type { Farm } from "./farm-state.js";
import { isHeldByItself } from "./job.js";

/** How many jobs of an owner may be worked on at a time; null: as many as come. */
export type RunningJobsMax = (owner: string) => number | null;

/**
 * Jobs to let in now: the highest priority first, of equals the one that came first. One that waits for
 * something else as well takes no place until that has come.
 */
export function planAdmission(farm: Farm, runningJobsMax: RunningJobsMax = () => null): string[] {
  if (farm.unadmittedJobIds.size === 0) return [];
  const waiting = [...farm.unadmittedJobIds]
    .map((jobId) => farm.jobs.get(jobId)!)
    .filter((job) => !isHeldByItself(job))
    .sort((a, b) => b.priority - a.priority);
  const counts = new Map(farm.admittedCounts);
  const admitted: string[] = [];
  for (const { jobId, owner } of waiting) {
    const count = counts.get(owner) ?? 0;
    if (!isFull(count, runningJobsMax(owner))) {
      counts.set(owner, count + 1);
      admitted.push(jobId);
    }
  }
  return admitted;
}

/** Why a job of this owner has to wait; null where it need not. */
export function quotaReason(farm: Farm, owner: string, max: number | null): string | null {
  const count = farm.admittedCounts.get(owner) ?? 0;
  return isFull(count, max) ? reasonOf(count) : null;
}

/** Of a job that was not let in yet. */
export function unadmittedReason(farm: Farm, owner: string): string {
  return reasonOf(farm.admittedCounts.get(owner) ?? 0);
}

function isFull(count: number, max: number | null): boolean {
  return max !== null && count >= max;
}

function reasonOf(count: number): string {
  return `its owner has ${count} jobs worked on, and may have no more at a time`;
}
