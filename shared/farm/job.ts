/** @file A job as users see it: what GetJob and WatchJob answer, and what `--json` is made from. */
import type { FarmErrorCode } from "../core/errors.js";
import type { Labels } from "./labels.js";
import type { JobParameters } from "./parameters.js";
import type { BranchPoint, Output, Stage } from "./work.js";

export const JOB_STATES = [
  "queued",
  "running",
  "paused",
  "succeeded",
  "failed",
  "cancelled",
  "expired",
] as const;
/**
 * queued: accepted, nothing started · running: a task has started · paused: nothing new of it
 * starts until it is resumed · succeeded: every clip is published · failed: a clip failed for good
 * and the others ended · cancelled: by its owner · expired: its deadline passed before it had ended.
 */
export type JobState = (typeof JOB_STATES)[number];

/** Whether a job or clip in this state can never change again. */
export function isTerminal(state: JobState): boolean {
  return state !== "queued" && state !== "running" && state !== "paused";
}

/** When and in what order a job runs. */
export interface JobOptions {
  /** Whose share of the farm it takes. */
  readonly owner: string;
  /** 0..100, higher goes first and takes nodes from lower at a step boundary. */
  readonly priority: number;
  /** Not before this time, milliseconds since 1970; null: at once. */
  readonly startAfterMs: number | null;
  /** It expires unless it has ended by this time, milliseconds since 1970; null: it has no deadline. */
  readonly deadlineMs: number | null;
  /** Jobs that have to succeed first. */
  readonly dependsOn: readonly string[];
  /** Where its one clip begins in place of noise; null: at the noise. */
  readonly branch: BranchPoint | null;
  /** Whether nodes show what the clips look like on their way. */
  readonly preview: boolean;
  /** What its owner knows it by. */
  readonly labels: Labels;
}

export const JOB_OPTIONS_DEFAULT: JobOptions = {
  owner: "local",
  priority: 50,
  startAfterMs: null,
  deadlineMs: null,
  dependsOn: [],
  branch: null,
  preview: false,
  labels: {},
};

export const PRIORITY_MAX = 100;
/** AIP-155: a UUID has 36 characters. */
export const REQUEST_ID_LENGTH_MAX = 36;
export const REQUEST_ID_PATTERN = /^[\x21-\x7e]{1,36}$/;
/** Jobs that one job may wait for. */
export const DEPENDENCIES_MAX = 100;

/** Seconds that nodes were held. */
export interface Seconds {
  readonly used: number;
  /** Part of `used` that came to nothing: failed, lost or cancelled. */
  readonly wasted: number;
}

/**
 * Files that a view of a whole job names at most. A job of 1,000 clips with 25 frames each as png has
 * 25,000: as one message they are 4 MiB, after every change.
 */
export const OUTPUTS_NAMED_MAX = 1_000;

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
  /** Steps whose latents are in the store: another clip can branch there. */
  readonly stepsKept: readonly number[];
  readonly stepsTotal: number;
  readonly chunksDone: number;
  readonly chunksTotal: number;
  /** "single", "pair", "pair, then single", or "" before it is denoised. */
  readonly plan: string;
  /** Median seconds of a denoising step; 0 before the first. */
  readonly secondsPerStep: number;
  readonly stages: readonly StageView[];
  /** Its finished files; none while the job has more than `OUTPUTS_NAMED_MAX` of them in all. */
  readonly outputs: readonly Output[];
  /** Finished files, whether `outputs` names them or not. */
  readonly outputCount: number;
  readonly error: { readonly code: FarmErrorCode; readonly detail: string } | null;
}

/** What a clip looks like on its way. */
export interface ClipPreview {
  readonly clipIndex: number;
  /** Steps done. */
  readonly step: number;
  /** A webp: some frames of the clip side by side, the first and the last among them. */
  readonly image: Uint8Array;
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
  readonly options: JobOptions;
  /** Seconds that nodes were held by it. */
  readonly usage: Seconds;
  /** Jobs that it still waits for. */
  readonly waitsFor: readonly string[];
  /** 1, and one more each time it was retried after its end. */
  readonly run: number;
  /** Why nothing of it is worked on at the time of the view; [] while something is, and after its end. */
  readonly whyNotNow: readonly string[];
}

/** What a node could do for a job that is not submitted yet. */
export interface DryRunNode {
  readonly nodeId: string;
  /** Why it could not work on the job; "" when it could. */
  readonly whyNot: string;
  /** Bytes that its runtime may use; 0: not known. */
  readonly memoryBytes: number;
  /** Stages of such a job that lately ran out of memory on a node with as much, or more. */
  readonly tooSmallFor: readonly Stage[];
}

/** What would become of a job if it were submitted now. */
export interface DryRunView {
  /** Every connected node. */
  readonly nodes: readonly DryRunNode[];
  /** How a clip would be denoised if it started now. */
  readonly plan: "single" | "pair";
  readonly clips: number;
  readonly chunksPerClip: number;
  /** Open jobs that go first or share the farm with it. */
  readonly jobsAhead: number;
  /** Seconds until the last clip would be there; null while nothing like it was ever measured. */
  readonly etaSeconds: number | null;
  /** Why it would not start at once; [] when it would. */
  readonly whyNotNow: readonly string[];
}
