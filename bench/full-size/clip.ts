/** @file The clip that both sides make of the full-size checkpoint: the smallest that says something. */

export const CLIP = { frames: 2, height: 64, width: 64, steps: 2, seed: 1 } as const;
