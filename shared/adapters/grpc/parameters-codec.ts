/** @file The parameters of a job on the wire, as they are asked for and as they were accepted. */
import * as wire from "../../../proto/gen/renderfarm/v1/job.js";
import { gathered, type Violation } from "../../core/errors.js";
import type { ClipOverrides, JobParameters, PairPolicy } from "../../farm/parameters.js";
import type { Preset, Schedule } from "../../farm/request-looks.js";
import type { RawParameters } from "../../farm/validate-request.js";
import type { BlobRef } from "../../ports/blob-store.js";
import { decodeBlobRef, encodeBlobRef } from "./blob-codec.js";
import {
  decodeClipOverrides,
  decodeFit,
  decodeGuidance,
  decodeRawClip,
  decodeRawGuidance,
  encodeClipOverrides,
  encodeFit,
  encodeGuidance,
  optionalName,
} from "./look-codec.js";
import * as check from "./wire-checks.js";
import { decodeOutputFormat, encodeOutputFormat } from "./work-codec.js";

const PAIR_ON_WIRE = {
  auto: wire.PairPolicy.AUTO,
  always: wire.PairPolicy.ALWAYS,
  never: wire.PairPolicy.NEVER,
} as const satisfies Record<PairPolicy, wire.PairPolicy>;

const PRESET_ON_WIRE = {
  svd: wire.Preset.SVD,
  "svd-xt": wire.Preset.SVD_XT,
  "svd-xt-1.1": wire.Preset.SVD_XT_1_1,
} as const satisfies Record<Preset, wire.Preset>;

const SCHEDULE_ON_WIRE = {
  default: wire.Schedule.DEFAULT,
  "align-your-steps": wire.Schedule.ALIGN_YOUR_STEPS,
} as const satisfies Record<Schedule, wire.Schedule>;

/** What a client may say of a job; what it leaves out is for the farm to choose. */
export interface RequestedParameters extends Partial<Omit<JobParameters, "clips">> {
  /** Defaults that go before the checkpoint's. */
  readonly preset?: Preset;
  /** Named noise levels, in place of steps and sigmas. */
  readonly schedule?: Schedule;
  /** Clips that differ from each other, one entry a clip. */
  readonly clips?: readonly Partial<ClipOverrides>[];
}

export function encodeJobParameters(parameters: RequestedParameters): wire.RenderParameters {
  const { numInferenceSteps, sigmas, seeds, latents, formats, pair, ...others } = parameters;
  const { guidance, fit, clips, preset, schedule, ...rest } = others;
  return {
    ...rest,
    numInferenceSteps: numInferenceSteps ?? undefined,
    sigmas: [...(sigmas ?? [])],
    seeds: seeds && { values: [...seeds] },
    latents: latents ? encodeBlobRef(latents) : undefined,
    formats: (formats ?? []).map(encodeOutputFormat),
    pair: pair ? PAIR_ON_WIRE[pair] : wire.PairPolicy.UNSPECIFIED,
    guidance: guidance && encodeGuidance(guidance),
    fit: fit ? encodeFit(fit) : wire.Fit.UNSPECIFIED,
    preset: preset ? PRESET_ON_WIRE[preset] : wire.Preset.UNSPECIFIED,
    schedule: schedule ? SCHEDULE_ON_WIRE[schedule] : wire.Schedule.UNSPECIFIED,
    clips: (clips ?? []).map(encodeClipOverrides),
  };
}

/** Parameters of an accepted job: every default is filled in. */
export function decodeJobParameters(
  message: wire.RenderParameters | undefined,
  field: string,
): JobParameters {
  const p = check.present(message, field);
  const numFrames = check.present(p.numFrames, `${field}.num_frames`);
  return {
    height: check.present(p.height, `${field}.height`),
    width: check.present(p.width, `${field}.width`),
    numFrames,
    numInferenceSteps: p.numInferenceSteps ?? null,
    sigmas: p.sigmas.length > 0 ? p.sigmas : null,
    minGuidanceScale: check.present(p.minGuidanceScale, `${field}.min_guidance_scale`),
    maxGuidanceScale: check.present(p.maxGuidanceScale, `${field}.max_guidance_scale`),
    fps: check.present(p.fps, `${field}.fps`),
    motionBucketId: check.present(p.motionBucketId, `${field}.motion_bucket_id`),
    noiseAugStrength: check.present(p.noiseAugStrength, `${field}.noise_aug_strength`),
    decodeChunkSize: check.present(p.decodeChunkSize, `${field}.decode_chunk_size`),
    cacheInterval: p.cacheInterval ?? 1, // absent in journals older than the field
    numVideosPerPrompt: check.present(p.numVideosPerPrompt, `${field}.num_videos_per_prompt`),
    seeds: check.present(p.seeds, `${field}.seeds`).values,
    latents: p.latents ? decodeBlobRef(p.latents, `${field}.latents`) : null,
    formats: p.formats.map((f, i) => decodeOutputFormat(f, `${field}.formats[${i}]`)),
    pair: check.fromWire(PAIR_ON_WIRE, p.pair, `${field}.pair`),
    guidance: decodeGuidance(p.guidance, numFrames, `${field}.guidance`),
    fit: decodeFit(p.fit, `${field}.fit`),
    clips: p.clips.map((clip, i) => decodeClipOverrides(clip, numFrames, `${field}.clips[${i}]`)),
  };
}

/**
 * Numbers and unknown names go on as they are: whoever validates names all of them at once.
 *
 * @param violations gets latents that are no reference to a blob
 */
export function decodeRawParameters(
  p: wire.RenderParameters,
  violations: Violation[],
): RawParameters {
  const { sigmas, seeds, latents, formats, pair, ...others } = p;
  const { guidance, fit, preset, schedule, clips, ...numbers } = others;
  return {
    ...numbers,
    guidance: decodeRawGuidance(guidance),
    fit: optionalName(fit, "FIT_"),
    preset: presetName(preset),
    schedule: optionalName(schedule, "SCHEDULE_"),
    clips: clips.map(decodeRawClip),
    sigmas,
    seeds: seeds?.values,
    latents: latents
      ? gathered<BlobRef | null>(
          violations,
          () => decodeBlobRef(latents, "parameters.latents"),
          null,
        )
      : null,
    formats: formats.map((format) => format.replace("OUTPUT_FORMAT_", "").toLowerCase()),
    pair:
      pair === wire.PairPolicy.UNSPECIFIED
        ? undefined
        : pair.replace("PAIR_POLICY_", "").toLowerCase(),
  };
}

/** The dot of a version is no character of an enum. */
function presetName(preset: wire.Preset): string | undefined {
  const known = Object.entries(PRESET_ON_WIRE).find(([, onWire]) => onWire === preset);
  return known ? known[0] : optionalName(preset, "PRESET_");
}
