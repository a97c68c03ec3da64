/** @file What both sides of the GPU bench are asked for, and what they answer: lines of JSON. */

/** Published SVD-XT at its own size: frames, pixels, frames decoded at a time, steps. */
export const XT_CLIP = { frames: 25, height: 576, width: 1024, chunk: 8, steps: 25 } as const;

/** What is measured, each in a process of its own. */
export const STAGES = ["unet", "decode", "condition", "whole"] as const;
export type Stage = (typeof STAGES)[number];

/** Of the processor; the device has its own. */
export const THREADS = 4;

/** Seconds of the first run, which loads and chooses algorithms, and the median of those after it. */
export interface Timed {
  readonly first: number;
  readonly median: number;
}

/** One process's answer; what it was not asked for is absent. */
export interface Measured {
  /** One half of a step. */
  readonly half?: Timed;
  /** Both halves in one call, as diffusers makes a step; theirs only. */
  readonly step?: Timed;
  readonly decode?: Timed;
  readonly encode?: Timed;
  readonly clip?: Timed;
  /** Seconds of a whole clip after the models are loaded. */
  readonly whole?: number;
  /** Bytes of the device at the end: ours, all that is taken; theirs, the most that was reserved. */
  readonly deviceBytes?: number;
  /** sha256 of the results of one call, each that came: one, when all runs gave the same bytes. */
  readonly digests?: readonly string[];
}
