/** @file What both sides of the GPU bench are asked for, and what they answer: lines of JSON. */

/** Size of the clip, in frames and pixels. */
export interface ClipSize {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  /** Frames decoded at a time. */
  readonly chunk: number;
  readonly steps: number;
}

/** Published SVD-XT at its own size, as diffusers' example has it. */
export const XT_CLIP: ClipSize = { frames: 25, height: 576, width: 1024, chunk: 8, steps: 25 };

/** Seconds of the first run, which loads and chooses algorithms, and the median of those after it. */
export interface Timed {
  readonly first: number;
  readonly median: number;
}

/** One process's answer; what it was not asked for is absent. */
export interface Measured {
  /** Both halves of a step for diffusers' side, one half for ours. */
  readonly unet?: Timed;
  readonly decode?: Timed;
  readonly encode?: Timed;
  readonly clip?: Timed;
  /** A whole clip after the models are loaded. */
  readonly whole?: number;
  /** Bytes of the device that this process held at the most. */
  readonly deviceBytes?: number;
  /** sha256 of the first and of the last result of the same call. */
  readonly digests?: readonly string[];
}
