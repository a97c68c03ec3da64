/**
 * @file What the clip of one picture has of its own in place of what the form says: its fields, and
 * how the API writes them.
 */
import type { ClipOverridesJson, JobJson, ParametersJson } from "./api/types.js";
import {
  guidanceKindOf,
  guidanceOnWire,
  isSaidByGuidance,
  isSameGuidance,
  SCALES,
  scalesText,
} from "./guidance.js";
import type { ParameterField } from "./parameters.js";

/** Texts by diffusers' names; what is missing is as the form says. */
export type OwnValues = Readonly<Record<string, string>>;

interface OwnField {
  /** As diffusers writes it. */
  readonly name: string;
  /** As JSON writes it. */
  readonly json: Exclude<keyof ClipOverridesJson, "imageIndex" | "guidance">;
  readonly kind: ParameterField["kind"];
}

/** In the order of the form; the kind of guidance is a choice of words and stands beside them, with its list. */
export const OWN_FIELDS: readonly OwnField[] = [
  { name: "seed", json: "seed", kind: "whole" },
  { name: "fps", json: "fps", kind: "whole" },
  { name: "motion_bucket_id", json: "motionBucketId", kind: "whole" },
  { name: "noise_aug_strength", json: "noiseAugStrength", kind: "real" },
  { name: "min_guidance_scale", json: "minGuidanceScale", kind: "real" },
  { name: "max_guidance_scale", json: "maxGuidanceScale", kind: "real" },
];

/** All that a clip may have of its own. */
export const OWN_NAMES: readonly string[] = [
  ...OWN_FIELDS.map(({ name }) => name),
  ...["guidance", SCALES],
];

/** The name of a control of one picture, and of what is wrong with it. */
export const controlName = (pictureId: number, name: string): string =>
  `picture-${pictureId}-${name}`;

/** One entry of `clips` as a request writes it. */
export function clipOnWire(own: OwnValues, imageIndex: number): object {
  const fields = OWN_FIELDS.flatMap(({ name, json }): [string, unknown][] => {
    const text = own[name]?.trim() ?? "";
    return text === "" ? [] : [[json, text]];
  });
  const kind = own["guidance"];
  const guidance = kind ? { guidance: guidanceOnWire(kind, own[SCALES]) } : {};
  return { imageIndex, ...Object.fromEntries(fields), ...guidance };
}

/**
 * What a clip of an earlier job had other than its job; its seed always, since such a clip drew its
 * noise alone.
 */
export function ownValuesOf(clip: ClipOverridesJson, job: ParametersJson): OwnValues {
  const kind = guidanceKindOf(clip.guidance);
  const fields = OWN_FIELDS.flatMap(({ name, json }): [string, string][] => {
    const value = clip[json];
    if (value === undefined || isSaidByGuidance(kind, name)) return [];
    return json !== "seed" && value === job[json] ? [] : [[name, String(value)]];
  });
  if (!kind || isSameGuidance(clip.guidance, job.guidance)) return Object.fromEntries(fields);
  const list = kind === "frames" ? [[SCALES, scalesText(clip.guidance)]] : [];
  return Object.fromEntries([...fields, ["guidance", kind], ...list]);
}

/** What one clip of a job was made from. */
export function parametersOf(job: JobJson, clipIndex: number): ParametersJson | undefined {
  const own = job.parameters?.clips[clipIndex];
  if (!job.parameters || !own) return job.parameters;
  const { imageIndex: _, seed = "", ...values } = own;
  return { ...job.parameters, ...values, seeds: { values: [seed] } };
}
