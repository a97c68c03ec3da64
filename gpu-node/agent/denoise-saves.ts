/**
 * @file When the latents on their way are saved, so that losing every replica costs few steps.
 *
 * A save goes on beside the steps, one at a time. It may fail: then the one before is still good.
 */
import type { StepCheckpoint } from "../../shared/farm/work.js";
import { recentMedian } from "./denoise-timing.js";

/** Steps from one save to the next, at most: what a loss costs while the store keeps up. */
export const SAVE_STEPS_MAX = 5;
/** Share of the steps' time that saves may take. */
export const SAVE_TIME_SHARE_MAX = 0.02;

export interface Saves {
  /** The latest latents known to be in the store; at the start those that the clip resumed from. */
  readonly kept: StepCheckpoint | null;
  /** The save under way. */
  readonly underWay: { readonly step: number; readonly startMs: number } | null;
  /** Step of the latest save that was begun; before one, the step that the clip began at. */
  readonly lastStep: number;
  /** How long each save took, from the first byte encoded until it was in the store. */
  readonly tookMs: readonly number[];
}

export function noSavesYet(resume: StepCheckpoint | null): Saves {
  return { kept: resume, underWay: null, lastStep: resume?.step ?? 0, tookMs: [] };
}

/**
 * Steps from one save to the next.
 *
 * K = ceil(saveMs / (0.02 * stepMs)), at least 1 and at most 5, of the medians of the latest ones.
 *
 * So saves take at most 2 % of the steps' time in sum, unless the store is so slow that this would
 * put more than five steps at risk: then five. A save goes on beside the steps, so its duration is
 * more than it costs them. Before one was measured K is 1: the first save is the measurement.
 *
 * @param savesMs durations of the saves made
 * @param stepsMs durations of the steps made
 */
export function planSaveSteps(savesMs: readonly number[], stepsMs: readonly number[]): number {
  const saveMs = recentMedian(savesMs);
  const allowedMs = SAVE_TIME_SHARE_MAX * recentMedian(stepsMs);
  if (saveMs <= allowedMs) return 1;
  return Math.min(SAVE_STEPS_MAX, Math.ceil(saveMs / allowedMs));
}

/** Whether the latents after `step` steps should be saved. */
export function isSaveDue(saves: Saves, step: number, stepsMs: readonly number[]): boolean {
  if (saves.underWay !== null) return false;
  return step - saves.lastStep >= planSaveSteps(saves.tookMs, stepsMs);
}

export function beginSave(saves: Saves, step: number, nowMs: number): Saves {
  return { ...saves, underWay: { step, startMs: nowMs }, lastStep: step };
}

export function endSave(saves: Saves, checkpoint: StepCheckpoint, nowMs: number): Saves {
  const { underWay, tookMs } = saves;
  if (underWay?.step !== checkpoint.step) return saves;
  const all = [...tookMs, nowMs - underWay.startMs];
  return { ...saves, kept: checkpoint, underWay: null, tookMs: all };
}

/** The next one is due as if this one had succeeded. */
export function failSave(saves: Saves, step: number): Saves {
  return saves.underWay?.step === step ? { ...saves, underWay: null } : saves;
}
