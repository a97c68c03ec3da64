/** @file Guidance as the form has it: a kind, and for one of them a list of one scale a frame. */
import type { GuidanceJson } from "./api/types.js";
import { GUIDANCE_KINDS, lookOnWire } from "./parameters.js";

export type GuidanceKind = (typeof GUIDANCE_KINDS)[number];

/** Name of the control that lists the scales, beside the one that chooses the kind. */
export const SCALES = "guidance_scales";

/** What a kind is called where it is chosen. */
export const guidanceWord = (kind: string): string => (kind === "frames" ? "one a frame" : kind);

/** The parts of a list of numbers, between commas or blanks. */
export const listOf = (text: string): string[] =>
  text.split(/[\s,;]+/).filter((part) => part !== "");

/** @param scales the text of the list; of a kind that has none it is left aside */
export function guidanceOnWire(kind: string, scales: string | undefined): object {
  const list = kind === "frames" ? { scales: listOf(scales ?? "") } : {};
  return { kind: lookOnWire("guidance", kind), ...list };
}

export function guidanceKindOf(guidance: GuidanceJson | undefined): GuidanceKind | undefined {
  return GUIDANCE_KINDS.find((kind) => lookOnWire("guidance", kind) === guidance?.kind);
}

/** The text of the list; "" for a kind that has none. */
export const scalesText = (guidance: GuidanceJson | undefined): string =>
  (guidance?.scales ?? []).join(", ");

/** Whether both say the same, scale by scale. */
export function isSameGuidance(a: GuidanceJson | undefined, b: GuidanceJson | undefined): boolean {
  return a?.kind === b?.kind && scalesText(a) === scalesText(b);
}

/**
 * Whether a finished job tells an end of its scales that a request must not say again once the scales
 * are changed: a constant guidance has one scale, and a list says both ends itself.
 */
export function isSaidByGuidance(kind: string | undefined, name: string): boolean {
  if (name === "min_guidance_scale") return kind === "constant" || kind === "frames";
  return name === "max_guidance_scale" && kind === "frames";
}
