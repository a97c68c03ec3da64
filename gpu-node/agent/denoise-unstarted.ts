/** @file How a denoise task ends whose latents are not even read: there is no machine yet to ask. */
import { assertNever } from "../../shared/core/assert.js";
import type { DenoiseWork, TaskReport } from "../../shared/farm/work.js";
import type { DenoiseEvent } from "./denoise-state.js";

/** Events that end such a task. */
export type EndingEvent = Extract<DenoiseEvent, { kind: "cancel" | "fault" | "yield" }>;

export function isEnding(event: DenoiseEvent): event is EndingEvent {
  return event.kind === "cancel" || event.kind === "fault" || event.kind === "yield";
}

/** What is reported of it; null: nothing, whoever cancelled it no longer asks. */
export function lastWordsOn(event: EndingEvent, { resume }: DenoiseWork): TaskReport | null {
  switch (event.kind) {
    case "cancel":
      return null;
    case "fault":
      return { ...event, kind: "failed" };
    case "yield":
      return { kind: "yielded", checkpoint: resume };
    default:
      return assertNever(event);
  }
}
