/** @file Values as people read them. */
import type { ClipJson, JobJson, ParametersJson } from "./api/types.js";

type State = JobJson["state"];

const ENDED: readonly string[] = [
  "JOB_STATE_SUCCEEDED",
  "JOB_STATE_FAILED",
  "JOB_STATE_CANCELLED",
  "JOB_STATE_EXPIRED",
];

export const isEnded = (state: State): boolean => ENDED.includes(state);

/** "JOB_STATE_RUNNING" -> "running". */
export const stateWord = (state: State): string => state.replace("JOB_STATE_", "").toLowerCase();

/** "OUTPUT_FORMAT_MP4" -> "mp4". */
export const formatWord = (format: string): string =>
  format.replace("OUTPUT_FORMAT_", "").toLowerCase();

/** Enough of an id to tell jobs of a day apart. */
export const shortId = (jobId: string): string => jobId.slice(-6);

export function seconds(value: number): string {
  if (value < 0.0995) return `${Math.max(1, Math.round(value * 1000))} ms`;
  if (value < 10) return `${value.toFixed(value < 1 ? 2 : 1)} s`;
  if (value < 90) return `${Math.round(value)} s`;
  if (value < 5_400) return `${Math.round(value / 60)} min`;
  return `${(value / 3_600).toFixed(1)} h`;
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [amount, unit] = [value, 0];
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${unit === 0 || amount >= 99.5 ? Math.round(amount) : amount.toFixed(1)} ${units[unit]}`;
}

export function ago(time: string | undefined, nowMs: number): string {
  if (!time) return "";
  const passed = Math.max(0, (nowMs - Date.parse(time)) / 1000);
  return passed < 5 ? "just now" : `${seconds(passed)} ago`;
}

/** Seconds between two times; null where one is missing. */
export function between(from: string | undefined, to: string | undefined): number | null {
  return from && to ? (Date.parse(to) - Date.parse(from)) / 1000 : null;
}

/** The seed of one clip; of a whole batch where one generator draws for all. */
export function seedOf(parameters: ParametersJson | undefined, clipIndex: number): string {
  const values = parameters?.seeds?.values ?? [];
  return values[clipIndex] ?? values[0] ?? "";
}

/** Seconds that the denoising of a clip still takes; null while no step was measured. */
export function denoiseLeft(clip: ClipJson): number | null {
  if (clip.secondsPerStep === 0 || clip.stepsDone >= clip.stepsTotal) return null;
  return (clip.stepsTotal - clip.stepsDone) * clip.secondsPerStep;
}

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count} ${count === 1 ? one : many}`;
