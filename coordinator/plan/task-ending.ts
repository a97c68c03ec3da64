/** @file Members of a grant that have computed all and only store it: their accelerators are free. */
import type { Task } from "./task.js";

/** Whether a member of the grant has computed all, so that its accelerator is free. */
export function isEnding({ state }: Task, nodeId: string): boolean {
  return state.kind === "granted" && state.ending.some((each) => each.nodeId === nodeId);
}

/** A member's word that it has computed all; a second one changes nothing. */
export function leaveAccelerator(task: Task, nodeId: string, atMs: number): Task {
  if (task.state.kind !== "granted" || isEnding(task, nodeId)) return task;
  const ending = [...task.state.ending, { nodeId, sinceMs: atMs }];
  return { ...task, state: { ...task.state, ending } };
}

/** When the grant's hold of a member's accelerator ended, if not at `atMs`. */
export function heldUntilMs({ state }: Task, nodeId: string, atMs: number): number {
  if (state.kind !== "granted") return atMs;
  return state.ending.find((each) => each.nodeId === nodeId)?.sinceMs ?? atMs;
}
