/** @file The latents from which a denoise task goes on. */
import type { StepCheckpoint } from "../../shared/farm/work.js";
import type { Task } from "./task.js";

/** Where the task began: at the noise, or at the step that it branched from. */
export function originOf({ origin }: Task, atMs: number): Task["checkpoint"] {
  return origin && { ...origin, atMs };
}

/** An older one, or none, changes nothing. */
export function keepCheckpoint(
  task: Task,
  { checkpoint, atMs }: { readonly checkpoint: StepCheckpoint | null; readonly atMs: number },
): Task {
  if (!checkpoint || checkpoint.step <= (task.checkpoint?.step ?? 0)) return task;
  // After a fall back to an earlier step, later ones are made again.
  const kept = [...task.kept.filter(({ step }) => step < checkpoint.step), checkpoint];
  return { ...task, kept, checkpoint: { ...checkpoint, atMs } };
}
