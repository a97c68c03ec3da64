/** @file The fields of a request that are choices among names: preset, schedule, guidance, fit. */
import { didYouMean } from "../core/closest-name.js";
import { type FieldChecks, type Raw, show, splitList, toNumber } from "./field-checks.js";
import {
  FITS,
  type Fit,
  GUIDANCE_KINDS,
  type Guidance,
  type GuidanceKind,
  LINEAR_GUIDANCE,
} from "./guidance.js";
import { GUIDANCE_SCALE } from "./limits.js";
import type { ClipParameters } from "./parameters.js";

/** Defaults that go before the checkpoint's. */
export type PresetDefaults = Pick<
  ClipParameters,
  "height" | "width" | "numFrames" | "fps" | "motionBucketId"
> & { readonly numInferenceSteps: number };

const SVD_CLIP = { height: 576, width: 1024, fps: 7, motionBucketId: 127 } as const;

/**
 * How each published checkpoint was sampled by its makers. 1.1 was tuned at 6 frames a second, which
 * is what the UNet is told for fps 7, and motion bucket 127.
 *
 * @source Stability AI generative-models, scripts/sampling/simple_video_sample.py (num_frames,
 *   num_steps); model card of stable-video-diffusion-img2vid-xt-1-1
 */
export const PRESETS = {
  svd: { ...SVD_CLIP, numFrames: 14, numInferenceSteps: 25 },
  "svd-xt": { ...SVD_CLIP, numFrames: 25, numInferenceSteps: 30 },
  "svd-xt-1.1": { ...SVD_CLIP, numFrames: 25, numInferenceSteps: 30 },
} as const satisfies Record<string, PresetDefaults>;
export type Preset = keyof typeof PRESETS;
const PRESET_NAMES = Object.keys(PRESETS) as Preset[];

/** The scheduler's own noise levels, or a published list. */
export const SCHEDULES = ["default", "align-your-steps"] as const;
export type Schedule = (typeof SCHEDULES)[number];

/** A kind by its name, a list of scales "1,1.5,2", or both in an object. */
export type RawGuidance =
  | string
  | { readonly kind: string; readonly scales?: readonly number[] | undefined };

/** @returns null where none is named, and where the name is wrong */
export function checkPreset(checks: FieldChecks, raw: string | undefined): PresetDefaults | null {
  const name = checkName(checks, "preset", raw, PRESET_NAMES, null);
  return name === null ? null : PRESETS[name];
}

export function checkSchedule(checks: FieldChecks, raw: string | undefined): Schedule {
  return checkName(checks, "schedule", raw, SCHEDULES, "default");
}

export function checkFit(checks: FieldChecks, raw: string | undefined): Fit {
  return checkName(checks, "fit", raw, FITS, "stretch");
}

function checkName<T extends string, F extends T | null>(
  checks: FieldChecks,
  field: string,
  raw: string | undefined,
  legal: readonly T[],
  fallback: F,
): T | F {
  if (raw === undefined) return fallback;
  const found = legal.find((name) => name === raw.toLowerCase());
  if (found !== undefined) return found;
  const question = didYouMean(raw, legal);
  checks.refuse(field, `${show(raw)} is unknown; legal are ${legal.join(", ")}${question}`);
  return fallback;
}

/** The scales of a clip's frames: what shapes them and their ends. */
export type GuidanceParameters = Pick<
  ClipParameters,
  "minGuidanceScale" | "maxGuidanceScale" | "guidance"
>;

const MIN_DEFAULT = 1;
const MAX_DEFAULT = 3;

/**
 * Kind and ends of the guidance. A constant one has one scale, the larger of the two fields; a list
 * says both ends itself.
 */
export function checkGuidance(
  checks: FieldChecks,
  raw: {
    readonly guidance?: RawGuidance | undefined;
    readonly minGuidanceScale?: Raw<number> | undefined;
    readonly maxGuidanceScale?: Raw<number> | undefined;
  },
  numFrames: number,
): GuidanceParameters {
  const guidance = readGuidance(checks, raw.guidance, numFrames);
  const { minGuidanceScale: rawMin, maxGuidanceScale: rawMax } = raw;
  const min = checks.real("min_guidance_scale", rawMin, GUIDANCE_SCALE, MIN_DEFAULT);
  const max = checks.real("max_guidance_scale", rawMax, GUIDANCE_SCALE, MAX_DEFAULT);
  if (guidance.kind === "constant") {
    if (rawMin !== undefined && min !== max) {
      const description = `${show(rawMin)} contradicts a constant guidance, whose one scale is ${checks.spell("max_guidance_scale")}; leave it out`;
      checks.refuse("min_guidance_scale", description);
    }
    return { guidance, minGuidanceScale: max, maxGuidanceScale: max };
  }
  if (guidance.kind !== "frames") {
    return { guidance, minGuidanceScale: min, maxGuidanceScale: max };
  }
  const { scales } = guidance;
  const [least, most] = [Math.min(...scales), Math.max(...scales)];
  // Parameters that were filled in before come with both ends.
  for (const [field, value, end] of [
    ["min_guidance_scale", rawMin, least],
    ["max_guidance_scale", rawMax, most],
  ] as const) {
    if (value === undefined || toNumber(value) === end) continue;
    const list = checks.spell("guidance");
    checks.refuse(field, `${show(value)} contradicts the scales that ${list} lists; leave it out`);
  }
  return { guidance, minGuidanceScale: least, maxGuidanceScale: most };
}

/** The kind that a user means; null for a name that is none. */
export function guidanceKindOf(raw: RawGuidance): GuidanceKind | null {
  const text = typeof raw === "string" ? raw : raw.kind;
  const named = GUIDANCE_KINDS.find((kind) => kind === text.trim().toLowerCase());
  if (typeof raw !== "string") return named ?? null;
  if (Number.isFinite(toNumber(splitList(raw)[0]!))) return "frames";
  // A text of scales is a list, never the word.
  return named === undefined || named === "frames" ? null : named;
}

function readGuidance(
  checks: FieldChecks,
  raw: RawGuidance | undefined,
  numFrames: number,
): Guidance {
  if (raw === undefined) return LINEAR_GUIDANCE;
  const kind = guidanceKindOf(raw);
  if (kind === null) {
    const text = typeof raw === "string" ? raw : raw.kind;
    const kinds = GUIDANCE_KINDS.filter((known) => known !== "frames");
    const legal = `legal are ${kinds.join(", ")}, or a list of one scale a frame`;
    checks.refuse("guidance", `${show(text)} is unknown; ${legal}${didYouMean(text, kinds)}`);
    return LINEAR_GUIDANCE;
  }
  if (kind !== "frames") return { kind };
  const parts: readonly Raw<number>[] =
    typeof raw === "string" ? splitList(raw) : (raw.scales ?? []);
  if (parts.length !== numFrames) {
    const count = `lists ${parts.length} scales for ${numFrames} frames`;
    checks.refuse("guidance", `${count}; give one a frame, or linear, triangle or constant`);
    return LINEAR_GUIDANCE;
  }
  const { min, max } = GUIDANCE_SCALE;
  const scales = parts.map(toNumber);
  const wrong = scales.findIndex((scale) => !(scale >= min && scale <= max));
  if (wrong < 0) return { kind, scales };
  const place = `scale ${wrong + 1} of ${scales.length}`;
  checks.refuse("guidance", `${show(parts[wrong])}, ${place}, is no number from ${min} to ${max}`);
  return LINEAR_GUIDANCE;
}
