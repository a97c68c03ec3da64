/**
 * @file How a denoise task ends, in the machine of `denoise-machine.ts`: finished, given back, failed
 * or cancelled. From here no step is made any more.
 */
import { assertNever } from "../../shared/core/assert.js";
import type { FarmErrorCode } from "../../shared/core/errors.js";
import type { StepCheckpoint, TaskReport } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type {
  DenoiseEffect,
  DenoiseEvent,
  DenoiseState,
  Denoising,
  DropReason,
  Ended,
  Storing,
  Yielding,
} from "./denoise-state.js";
import { secondsPerStep } from "./denoise-timing.js";

export type Step = readonly [next: DenoiseState, effects: readonly DenoiseEffect[]];

const ENDING: TaskReport = { kind: "ending" };
/** How long the latents of a task that is given back may take to the store. */
const YIELD_SAVE_MS_MAX = 10_000;

/** Pure. What comes too late for the state it meets changes nothing. */
export function reduceEnding(state: Storing | Yielding | Ended, event: DenoiseEvent): Step {
  switch (event.kind) {
    case "stored":
      return state.kind === "storing" ? finish(state, event.blob, event.nowMs) : [state, []];
    case "saved":
      return state.kind === "yielding" ? takeSaved(state, event.checkpoint) : [state, []];
    case "save-failed":
      return state.kind === "yielding" && state.step === event.step
        ? end(state, yielded(state.kept))
        : [state, []];
    case "deadline":
      return state.kind === "yielding" ? end(state, yielded(state.kept)) : [state, []];
    case "frame":
      return [state, [drop("not-paired")]];
    case "continue-alone":
      return event.newEpoch > state.epoch ? takeEpoch(state, event.newEpoch) : [state, []];
    case "cancel":
      return state.kind === "ended" ? [state, []] : end(state, null);
    case "fault":
      // A run that outlasted its task may still fail: the latents that are given back are good.
      return state.kind === "storing" ? fail(state, event.code, event.detail) : [state, []];
    case "half-done":
    case "applied":
    case "lost":
    case "yield":
      return [state, []];
    default:
      return assertNever(event);
  }
}

/** All steps are made: the accelerator is free while the latents go to the store. */
export function store(made: Omit<Storing, "kind">): Step {
  const { epoch } = made;
  return [
    { kind: "storing", ...made },
    [
      { kind: "report", epoch, report: ENDING },
      { kind: "store", epoch },
    ],
  ];
}

/** With the latents as they are, those before the step in hand. */
export function giveBack(state: Denoising): Step {
  const { step, epoch, saves } = state;
  const { kept, underWay } = saves;
  // No step was made since these, so nothing would be lost.
  if (step === (kept?.step ?? 0)) return end(state, yielded(kept));
  const save: DenoiseEffect[] = underWay?.step === step ? [] : [{ kind: "save", step, epoch }];
  return [
    { kind: "yielding", epoch, step, kept },
    [...leavePair(state), { kind: "set-deadline", ms: YIELD_SAVE_MS_MAX }, ...save],
  ];
}

export function fail(state: Denoising | Storing, code: FarmErrorCode, detail: string): Step {
  return end(state, { kind: "failed", code, detail });
}

/** @param report null: nobody wants to hear of it */
export function end(state: Denoising | Storing | Yielding, report: TaskReport | null): Step {
  const { epoch } = state;
  const told: DenoiseEffect[] = report ? [{ kind: "report", epoch, report }] : [];
  return [{ kind: "ended", epoch, report }, [...leave(state), ...told]];
}

export function leavePair(state: Denoising): DenoiseEffect[] {
  if (state.partnership.kind === "none") return [];
  return [{ kind: "clear-deadline" }, { kind: "leave-pair" }];
}

export function drop(reason: DropReason): DenoiseEffect {
  return { kind: "drop-frame", reason };
}

export function after(effects: readonly DenoiseEffect[], [next, more]: Step): Step {
  return [next, [...effects, ...more]];
}

function leave(state: Denoising | Storing | Yielding): DenoiseEffect[] {
  switch (state.kind) {
    case "denoising":
      return leavePair(state);
    case "yielding":
      return [{ kind: "clear-deadline" }];
    case "storing":
      return [];
    default:
      return assertNever(state);
  }
}

function finish(state: Storing, blob: BlobRef, nowMs: number): Step {
  const seconds = (nowMs - state.startMs) / 1_000;
  const perStep = secondsPerStep(state.stepsMs);
  const result = { blob, outputs: [], seconds, secondsPerStep: perStep };
  return end(state, { kind: "finished", result });
}

function takeSaved(state: Yielding, checkpoint: StepCheckpoint): Step {
  if (checkpoint.step === state.step) return end(state, yielded(checkpoint));
  return [{ ...state, kept: checkpoint }, []];
}

/**
 * What was reported under the old epoch crossed the order on its way and was stale, so it is reported
 * again.
 */
function takeEpoch(state: Storing | Yielding | Ended, newEpoch: number): Step {
  const report = wordOf(state);
  const again = report ? [{ kind: "report", epoch: newEpoch, report } as const] : [];
  return [{ ...state, epoch: newEpoch }, again];
}

/** What the coordinator is to know of a task of which no step is made any more. */
function wordOf(state: Storing | Yielding | Ended): TaskReport | null {
  switch (state.kind) {
    case "storing":
      return ENDING;
    case "yielding":
      return null;
    case "ended":
      return state.report;
    default:
      return assertNever(state);
  }
}

function yielded(checkpoint: StepCheckpoint | null): TaskReport {
  return { kind: "yielded", checkpoint };
}
