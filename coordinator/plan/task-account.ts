/**
 * @file What the end of a grant puts on the account: seconds of its members, the lost ones apart. A
 * member's accelerator is held until all is computed; what it stores after that costs nothing.
 */
import type { Task, TaskEffect } from "./task.js";
import { heldUntilMs } from "./task-ending.js";

/** Every member of the grant that ends now. */
export function charge(task: Task, atMs: number, how: "used" | "wasted"): TaskEffect[] {
  const { state } = task;
  if (state.kind !== "granted") return [];
  const lostSinceMs = Math.max(state.sinceMs, task.checkpoint?.atMs ?? 0);
  return state.members.map(({ nodeId }) => {
    const untilMs = heldUntilMs(task, nodeId, atMs);
    const used = secondsBetween(state.sinceMs, untilMs);
    const wasted = how === "wasted" ? Math.min(used, secondsBetween(lostSinceMs, untilMs)) : 0;
    return { kind: "charge", used, wasted };
  });
}

/** Nothing for a clock that was set back meanwhile. */
export function secondsBetween(sinceMs: number, untilMs: number): number {
  return Math.max(0, untilMs - sinceMs) / 1000;
}
