/** @file A job as users see it: what GetJob and WatchJob answer, and what `--json` is made from. */
import type { FarmErrorCode } from "../core/errors.js";
import type { JobParameters } from "./parameters.js";
import type { Output, Stage } from "./work.js";

export const JOB_STATES = ["queued", "running", "succeeded", "failed", "cancelled"] as const;
/**
 * queued: accepted, nothing started · running: a task has started · succeeded: every clip is
 * published · failed: a clip failed for good and the others ended · cancelled: by its owner.
 */
export type JobState = (typeof JOB_STATES)[number];

/** Whether a job or clip in this state can never change again. */
export function isTerminal(state: JobState): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

export interface StageView {
  readonly stage: Stage;
  /** In the order of halves or chunks; after a failover also those that took over. */
  readonly nodeIds: readonly string[];
  /** Wall seconds from the first grant to the end. */
  readonly seconds: number;
  /** Grants, the successful one included. */
  readonly attempts: number;
}

export interface ClipView {
  readonly index: number;
  readonly imageIndex: number;
  readonly state: JobState;
  readonly stepsDone: number;
  readonly stepsTotal: number;
  readonly chunksDone: number;
  readonly chunksTotal: number;
  /** "single", "pair", "pair, then single", or "" before it is denoised. */
  readonly plan: string;
  /** Median seconds of a denoising step; 0 before the first. */
  readonly secondsPerStep: number;
  readonly stages: readonly StageView[];
  readonly outputs: readonly Output[];
  readonly error: { readonly code: FarmErrorCode; readonly detail: string } | null;
}

export interface JobView {
  readonly jobId: string;
  readonly state: JobState;
  readonly parameters: JobParameters;
  readonly clips: readonly ClipView[];
  readonly modelDigest: string;
  readonly modelName: string;
  /** Milliseconds since 1970; null before it happened. */
  readonly createdAtMs: number;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
}
