/** @file Guidance, fit and the clips of a list on the wire. */
import * as wire from "../../../proto/gen/renderfarm/v1/job.js";
import {
  type Fit,
  type Guidance,
  type GuidanceKind,
  LINEAR_GUIDANCE,
} from "../../farm/guidance.js";
import type { ClipOverrides } from "../../farm/parameters.js";
import type { RawClip } from "../../farm/request-clips.js";
import type { RawGuidance } from "../../farm/request-looks.js";
import * as check from "./wire-checks.js";

const KIND_ON_WIRE = {
  linear: wire.GuidanceKind.LINEAR,
  triangle: wire.GuidanceKind.TRIANGLE,
  constant: wire.GuidanceKind.CONSTANT,
  frames: wire.GuidanceKind.FRAMES,
} as const satisfies Record<GuidanceKind, wire.GuidanceKind>;

const FIT_ON_WIRE = {
  stretch: wire.Fit.STRETCH,
  crop: wire.Fit.CROP,
  pad: wire.Fit.PAD,
} as const satisfies Record<Fit, wire.Fit>;

export function encodeGuidance(guidance: Guidance): wire.Guidance {
  const scales = guidance.kind === "frames" ? [...guidance.scales] : [];
  return { kind: KIND_ON_WIRE[guidance.kind], scales };
}

/**
 * @param numFrames as many scales a list has to have
 * @throws FarmError "invalid-argument" naming the field
 */
export function decodeGuidance(
  message: wire.Guidance | undefined,
  numFrames: number,
  field: string,
): Guidance {
  if (message === undefined) return LINEAR_GUIDANCE;
  const kind = check.fromWire(KIND_ON_WIRE, message.kind, `${field}.kind`);
  if (kind !== "frames") return { kind };
  const scales = message.scales.map((s, i) => check.finite(s, `${field}.scales[${i}]`));
  if (scales.length === numFrames) return { kind, scales };
  return check.refuseField(`${field}.scales`, `${scales.length} scales for ${numFrames} frames`);
}

/** As it is, for whoever validates; a list without its kind is one of scales. */
export function decodeRawGuidance(message: wire.Guidance | undefined): RawGuidance | undefined {
  if (message === undefined) return undefined;
  const { kind, scales } = message;
  if (kind !== wire.GuidanceKind.UNSPECIFIED)
    return { kind: nameOf(kind, "GUIDANCE_KIND_"), scales };
  return scales.length > 0 ? { kind: "frames", scales } : undefined;
}

export function encodeFit(fit: Fit): wire.Fit {
  return FIT_ON_WIRE[fit];
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeFit(fit: wire.Fit, field: string): Fit {
  return fit === wire.Fit.UNSPECIFIED ? "stretch" : check.fromWire(FIT_ON_WIRE, fit, field);
}

/** @param clip what is left out is as in the whole job */
export function encodeClipOverrides(clip: Partial<ClipOverrides>): wire.ClipOverrides {
  return { ...clip, guidance: clip.guidance && encodeGuidance(clip.guidance) };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeClipOverrides(
  clip: wire.ClipOverrides,
  numFrames: number,
  field: string,
): ClipOverrides {
  return {
    imageIndex: check.present(clip.imageIndex, `${field}.image_index`),
    seed: check.present(clip.seed, `${field}.seed`),
    fps: check.present(clip.fps, `${field}.fps`),
    motionBucketId: check.present(clip.motionBucketId, `${field}.motion_bucket_id`),
    noiseAugStrength: check.present(clip.noiseAugStrength, `${field}.noise_aug_strength`),
    minGuidanceScale: check.present(clip.minGuidanceScale, `${field}.min_guidance_scale`),
    maxGuidanceScale: check.present(clip.maxGuidanceScale, `${field}.max_guidance_scale`),
    guidance: decodeGuidance(clip.guidance, numFrames, `${field}.guidance`),
  };
}

/** Numbers go on as they are: whoever validates names all mistakes at once. */
export function decodeRawClip(clip: wire.ClipOverrides): RawClip {
  const { guidance, ...values } = clip;
  return { ...values, guidance: decodeRawGuidance(guidance) };
}

/** "FIT_CROP" of prefix "FIT_" is "crop"; undefined where nothing is said. */
export function optionalName(value: string, prefix: string): string | undefined {
  const name = nameOf(value, prefix);
  return name === "unspecified" ? undefined : name;
}

/** Names of several words have dashes between them, as flags do. */
function nameOf(value: string, prefix: string): string {
  return value.replace(prefix, "").toLowerCase().replaceAll("_", "-");
}
