/** @file What became of a job, step by step, as `renderfarm logs` tells it. */
import type { Stage } from "./work.js";

/** One thing that happened to a job. */
export interface JobLogEntry {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /**
   * In a word or two: "created", "running", "granted", "finished", "failed", "node lost", "given back",
   * "pair broken", "latents kept", "published", "cancelled" ...
   */
  readonly what: string;
  /** Null for what concerns the whole job. */
  readonly task: {
    readonly clipIndex: number;
    readonly stage: Stage;
    /** decode: index of the chunk; else 0. */
    readonly chunkIndex: number;
    /** Grants of the task so far. */
    readonly attempt: number;
  } | null;
  /** Who was granted it, or spoke of it. */
  readonly nodeIds: readonly string[];
  /** More, for people; may be empty. */
  readonly detail: string;
}

/** Entries of one job that a farm remembers; the oldest go first. */
export const JOB_LOG_ENTRIES_MAX = 1_000;
