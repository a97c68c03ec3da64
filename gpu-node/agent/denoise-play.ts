/** @file For tests of the denoise machine: its events and effects in short words. */
import type { GuidanceHalf, StepCheckpoint, TaskReport } from "../../shared/farm/work.js";
import { reduceDenoise, startDenoise } from "./denoise-machine.js";
import type {
  DenoiseEffect,
  DenoiseEvent,
  DenoisePlan,
  DenoiseState,
  FrameFacts,
} from "./denoise-state.js";

export const PLAN: DenoisePlan = {
  stepCount: 3,
  guided: true,
  planHash: "p",
  ownHalf: null,
  resume: null,
};
export const COND: DenoisePlan = { ...PLAN, ownHalf: "cond" };
export const blob = { key: "v1/latents", sha256: "", size: 1 };

/** Digest of the latents after `step` steps in every scenario below. */
export const digest = (step: number) => `latents ${step}`;

export const checkpointAt = (step: number): StepCheckpoint => ({ step, blob });

/** One line an effect: what the shell would be told. */
export function told(effect: DenoiseEffect): string {
  switch (effect.kind) {
    case "run-half":
      return `run ${effect.half} ${effect.step}`;
    case "send-half":
      return `send ${effect.half} ${effect.step} in epoch ${effect.epoch} from ${effect.latentsDigest}`;
    case "send-digest":
      return `send ${effect.latentsDigest} in epoch ${effect.epoch}`;
    case "keep-half":
      return `keep ${effect.half} ${effect.step}`;
    case "drop-frame":
      return `drop ${effect.reason}`;
    case "apply":
      return `apply ${effect.step}`;
    case "store":
      return `store in epoch ${effect.epoch}`;
    case "save":
      return `save ${effect.step} in epoch ${effect.epoch}`;
    case "set-deadline":
      return `deadline ${effect.ms}`;
    case "report":
      return `${toldReport(effect.report)} in epoch ${effect.epoch}`;
    default:
      return effect.kind;
  }
}

function toldReport(report: TaskReport): string {
  switch (report.kind) {
    case "progress":
      return `done ${report.stepsDone}`;
    case "checkpointed":
      return `checkpointed ${report.checkpoint.step}`;
    case "yielded":
      return `yielded ${report.checkpoint?.step ?? "nothing"}`;
    default:
      return report.kind;
  }
}

export const half = (which: GuidanceHalf, nowMs = 0): DenoiseEvent => ({
  kind: "half-done",
  half: which,
  nowMs,
});
export const applied = (step: number, nowMs = 0): DenoiseEvent => ({
  kind: "applied",
  digest: digest(step),
  nowMs,
});
export const frame = (step: number, change: Partial<FrameFacts> = {}): DenoiseEvent => ({
  kind: "frame",
  frame: {
    epoch: 1,
    step,
    half: "uncond",
    planHash: "p",
    latentsDigest: digest(step),
    ...change,
  },
});
export const lost: DenoiseEvent = { kind: "lost", reason: "socket closed" };
export const deadline: DenoiseEvent = { kind: "deadline" };
export const alone = (newEpoch: number): DenoiseEvent => ({ kind: "continue-alone", newEpoch });
export const cancel: DenoiseEvent = { kind: "cancel" };
export const fault: DenoiseEvent = { kind: "fault", code: "runtime-failed", detail: "child died" };
export const stored: DenoiseEvent = { kind: "stored", blob, nowMs: 0 };

export const saved = (step: number, nowMs = 0): DenoiseEvent => ({
  kind: "saved",
  checkpoint: checkpointAt(step),
  nowMs,
});
export const saveFailed = (step: number): DenoiseEvent => ({ kind: "save-failed", step });
export const giveBack: DenoiseEvent = { kind: "yield", atOnce: false };
export const giveBackAtOnce: DenoiseEvent = { kind: "yield", atOnce: true };

/** Every event with the effects it must have, in order. */
export type Line = [event: DenoiseEvent, ...effects: string[]];

/** Starts a task and feeds it the lines' events: what it did at the start and at each, and where that leads. */
export function play(
  plan: DenoisePlan,
  lines: readonly Line[],
): { state: DenoiseState; done: string[][] } {
  let [state, effects] = startDenoise(plan, 1, digest(plan.resume?.step ?? 0), 0);
  const done = [effects.map(told)];
  for (const [event] of lines) {
    [state, effects] = reduceDenoise(state, event);
    done.push(effects.map(told));
  }
  return { state, done };
}

/** What `play` must give. */
export function script(first: string[], lines: readonly Line[]): string[][] {
  return [first, ...lines.map(([, ...effects]) => effects)];
}
