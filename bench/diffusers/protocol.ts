/** @file What the two sides of the comparison are asked, a line of JSON each, and what they answer. */

/** Of one clip: pixels and frames. */
export interface Size {
  readonly frames: number;
  /** Frames decoded at a time. */
  readonly decodeFrames: number;
  readonly height: number;
  readonly width: number;
  /** Whether the checkpoint has only the files of the fp16 variant. */
  readonly fp16: boolean;
}

/** What is timed call by call. */
export const TIMED_OPS = ["unet", "decode", "encode", "clip"] as const;
export type TimedOp = (typeof TIMED_OPS)[number];

export type Request =
  | ({ readonly op: "open"; readonly checkpoint: string; readonly threads: number } & Size)
  | { readonly op: TimedOp | "first_step" | "memory" | "versions" }
  /** A product of matrices in our engine, and what a half of a step has of them: ours only. */
  | { readonly op: "gemm" | "unet_operations" }
  /** A whole clip; asked of diffusers only, since ours is made by a farm. */
  | {
      readonly op: "render";
      readonly image: string;
      readonly steps: number;
      readonly seed: number;
      /** Where its frames go: little-endian float32 in 0..1, [F, H, W, 3]. */
      readonly framesFile?: string;
    };

/**
 * "seconds" of a timed call, "steps_seconds" of the steps of a clip after its first, "bytes" of memory,
 * "operations", or versions by name.
 */
export type Answer = Readonly<Record<string, number | string>>;
