/** @file What the end of a grant puts on the account: seconds of its members, the lost ones apart. */
import type { Task, TaskEffect } from "./task.js";

/** Every member of the grant that ends now. */
export function charge(task: Task, atMs: number, how: "used" | "wasted"): TaskEffect[] {
  const { state } = task;
  if (state.kind !== "granted") return [];
  const lostSinceMs = Math.max(state.sinceMs, task.checkpoint?.atMs ?? 0);
  const used = secondsBetween(state.sinceMs, atMs);
  const wasted = how === "wasted" ? Math.min(used, secondsBetween(lostSinceMs, atMs)) : 0;
  return state.members.map(() => ({ kind: "charge", used, wasted }));
}

/** Nothing for a clock that was set back meanwhile. */
export function secondsBetween(sinceMs: number, untilMs: number): number {
  return Math.max(0, untilMs - sinceMs) / 1000;
}
