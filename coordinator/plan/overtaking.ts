/**
 * @file Which denoisings may start on a node that still stores the latents of another one.
 *
 * Its accelerator is free, but the clip whose latents are on their way wants to be decoded in a moment:
 * behind a denoising of half an hour it would wait for nothing.
 */
import type { Farm } from "./farm-state.js";
import type { Job } from "./job.js";
import { OVERTAKING_MS_MAX } from "./limits.js";
import type { Node } from "./node.js";
import type { Task } from "./task.js";
import { workKindOf } from "./work-kind.js";

/** False for a node that had better wait for the next work of the clip that it has just denoised. */
export function mayOvertake(
  farm: Farm,
  { job, task }: { job: Job; task: Task },
  node: Node,
): boolean {
  const stored = latentsStoredBy(farm, node);
  if (stored === null) return true;
  if (job.priority > (farm.jobs.get(stored.jobId)?.priority ?? 0)) return true;
  const seconds = secondsLeft(farm, job, task, node);
  return seconds !== null && seconds * 1_000 <= OVERTAKING_MS_MAX;
}

/** The denoising whose latents a node stores: their decoding will want a node in a moment. */
export function latentsStoredBy(farm: Farm, { endingTaskId }: Node): Task | null {
  const task = endingTaskId === null ? undefined : farm.tasks.get(endingTaskId);
  return task?.stage === "denoise" ? task : null;
}

/** Null: such work has not been measured, so it may take any time. */
function secondsLeft(farm: Farm, job: Job, task: Task, { info }: Node): number | null {
  const { provider } = info;
  const ofPlan = (plan: "single" | "pair") =>
    farm.learned.secondsOf(workKindOf(job, task, { provider, plan }));
  const step = ofPlan("single") ?? ofPlan("pair");
  return step === null ? null : step * (job.stepsTotal - (task.checkpoint?.step ?? 0));
}
