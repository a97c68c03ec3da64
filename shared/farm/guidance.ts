/** @file How strongly each frame of a clip follows its picture. */

/**
 * linear: evenly from the first frame's scale to the last one's, diffusers' way · triangle: from the
 * smaller to the larger one and back, so that the ends of a loop meet · constant: the same scale in
 * every frame · frames: a list of one scale a frame.
 */
export const GUIDANCE_KINDS = ["linear", "triangle", "constant", "frames"] as const;
export type GuidanceKind = (typeof GUIDANCE_KINDS)[number];

export type Guidance =
  | { readonly kind: Exclude<GuidanceKind, "frames"> }
  | { readonly kind: "frames"; readonly scales: readonly number[] };

/** What the reference does. */
export const LINEAR_GUIDANCE: Guidance = { kind: "linear" };

/**
 * stretch: to the clip's size whatever the picture's proportions, diffusers' way · crop: the middle of
 * the picture in the clip's proportions · pad: the whole picture between black bars.
 */
export const FITS = ["stretch", "crop", "pad"] as const;
export type Fit = (typeof FITS)[number];
