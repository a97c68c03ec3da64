/**
 * @file A request becomes parameters with every default filled in, or a list of all that is wrong
 * with it. The CLI, the coordinator and whoever else takes requests ask this one function.
 */
import type { Violation } from "../core/errors.js";
import type { BlobRef } from "../ports/blob-store.js";
import { FieldChecks, type Raw, show, toNumber } from "./field-checks.js";
import {
  CACHE_INTERVAL,
  CLIP_PIXELS_MAX,
  CLIPS_MAX,
  FPS,
  FRAME_PIXELS_MAX,
  MOTION_BUCKET_ID,
  NOISE_AUG_STRENGTH,
  NUM_FRAMES,
  NUM_VIDEOS_PER_PROMPT,
  SIDE_MULTIPLE,
  SIDE_PIXELS,
} from "./limits.js";
import { type JobParameters, PAIR_POLICIES, type PairPolicy } from "./parameters.js";
import { checkClips, type RawClip } from "./request-clips.js";
import { ALIGN_YOUR_STEPS_SIGMAS, checkFormats, checkSeeds, checkSigmas } from "./request-lists.js";
import {
  checkFit,
  checkGuidance,
  checkPreset,
  checkSchedule,
  PRESETS,
  type PresetDefaults,
  type RawGuidance,
} from "./request-looks.js";
import type { ModelInfo } from "./work.js";

/** Parameters as a user gave them: absent ones take defaults, texts are parsed. */
export interface RawParameters {
  readonly height?: Raw<number> | undefined;
  readonly width?: Raw<number> | undefined;
  readonly numFrames?: Raw<number> | undefined;
  readonly numInferenceSteps?: Raw<number> | undefined;
  readonly sigmas?: Raw<readonly number[]> | undefined;
  readonly minGuidanceScale?: Raw<number> | undefined;
  readonly maxGuidanceScale?: Raw<number> | undefined;
  readonly fps?: Raw<number> | undefined;
  readonly motionBucketId?: Raw<number> | undefined;
  readonly noiseAugStrength?: Raw<number> | undefined;
  readonly decodeChunkSize?: Raw<number> | undefined;
  readonly numVideosPerPrompt?: Raw<number> | undefined;
  readonly seeds?: Raw<readonly bigint[]> | undefined;
  readonly latents?: BlobRef | null | undefined;
  readonly formats?: Raw<readonly string[]> | undefined;
  /** Lossy feature caching. */
  readonly cacheInterval?: Raw<number> | undefined;
  readonly pair?: string | undefined;
  readonly guidance?: RawGuidance | undefined;
  readonly fit?: string | undefined;
  /** Defaults of a published checkpoint in place of those of the one that is used. */
  readonly preset?: string | undefined;
  /** Named noise levels in place of steps or sigmas. */
  readonly schedule?: string | undefined;
  /** Clips that differ from each other. */
  readonly clips?: readonly RawClip[] | undefined;
}

/** What a request is checked against. */
export interface RequestContext {
  readonly model: Pick<
    ModelInfo,
    "numFrames" | "sampleSize" | "vaeScaleFactor" | "numTrainTimesteps"
  >;
  /** Pictures of the job. */
  readonly imageCount: number;
  /** The seed of a request that names none: a whole number, at least 0. */
  readonly drawnSeed: number;
  /** Whether what will write the files can write mp4. */
  readonly hasFfmpeg: boolean;
  /** How the caller writes a field that is `snake_case` in the proto. Default: just so. */
  readonly spell?: (field: string) => string;
}

export type Resolved =
  | { readonly parameters: JobParameters }
  | {
      readonly violations: readonly Violation[];
      /** With a default in place of whatever is wrong: good for further checks, never for work. */
      readonly assumed: JobParameters;
    };

/** Steps of a request that names neither steps nor sigmas, as the reference. */
const NUM_INFERENCE_STEPS_DEFAULT = 25;
/** Pixels; a checkpoint trained at this size or above is rendered at the reference's 576 x 1024. */
const SVD_SIDE_MIN = 768;

/**
 * Checks a whole request.
 *
 * @returns the parameters, or every violation at once, each with its value and the legal range
 */
export function resolveParameters(raw: RawParameters, context: RequestContext): Resolved {
  const checks = new FieldChecks(context.spell ?? ((field) => field));
  const { model } = context;

  const preset = checkPreset(checks, raw.preset);
  const framesDefault = preset?.numFrames ?? model.numFrames;
  const numFrames = checks.whole("num_frames", raw.numFrames, NUM_FRAMES, framesDefault);
  const size = checkSize(checks, raw, model, { numFrames, preset });
  const steps = checkSteps(checks, raw, model.numTrainTimesteps, preset);
  const batch = checkBatch(checks, raw, context.imageCount);
  const listed = raw.clips?.length ?? 0;
  const seeds = checkSeeds(checks, raw.seeds, {
    imageCount: listed > 0 ? listed : context.imageCount,
    videosPerImage: listed > 0 ? 1 : batch.numVideosPerPrompt,
  });
  const parameters = {
    ...size,
    numFrames,
    ...steps,
    ...checkGuidance(checks, raw, numFrames),
    fit: checkFit(checks, raw.fit),
    fps: checks.whole("fps", raw.fps, FPS, preset?.fps ?? 7),
    motionBucketId: checks.whole(
      "motion_bucket_id",
      raw.motionBucketId,
      MOTION_BUCKET_ID,
      preset?.motionBucketId ?? 127,
    ),
    noiseAugStrength: checks.real(
      "noise_aug_strength",
      raw.noiseAugStrength,
      NOISE_AUG_STRENGTH,
      0.02,
    ),
    decodeChunkSize: checkChunkSize(checks, raw.decodeChunkSize, numFrames),
    cacheInterval: checks.whole("cache_interval", raw.cacheInterval, CACHE_INTERVAL, 1),
    ...batch,
    seeds: seeds ?? [BigInt(context.drawnSeed)],
    latents: raw.latents ?? null,
    formats: checkFormats(checks, raw.formats, context.hasFfmpeg),
    pair: checkPair(checks, raw.pair),
  };
  const job = { imageCount: context.imageCount, parameters };
  const whole = { ...parameters, clips: checkClips(checks, raw.clips, job) };
  const { violations } = checks;
  return violations.length > 0 ? { violations, assumed: whole } : { parameters: whole };
}

/**
 * What is wrong with the shape of a file of initial noise.
 *
 * @returns null when it is [clips, frames, channels, h, w] as the job needs it
 */
export function latentsShapeProblem(
  shape: readonly number[],
  needed: {
    readonly parameters: Pick<JobParameters, "numFrames" | "height" | "width">;
    readonly clipCount: number;
    readonly model: Pick<ModelInfo, "latentChannels" | "vaeScaleFactor">;
  },
): string | null {
  const { numFrames, height, width } = needed.parameters;
  const { latentChannels, vaeScaleFactor } = needed.model;
  const expected = [
    needed.clipCount,
    numFrames,
    latentChannels,
    height / vaeScaleFactor,
    width / vaeScaleFactor,
  ];
  if (shape.join() === expected.join()) return null;
  return `has shape [${shape.join(", ")}], this job needs [${expected.join(", ")}]: clips, frames, channels, height / ${vaeScaleFactor}, width / ${vaeScaleFactor}`;
}

function checkSize(
  checks: FieldChecks,
  raw: RawParameters,
  model: RequestContext["model"],
  { numFrames, preset }: { numFrames: number; preset: PresetDefaults | null },
): { height: number; width: number } {
  const multiple = leastCommonMultiple(SIDE_MULTIPLE, model.vaeScaleFactor);
  const trained =
    model.sampleSize === null ? SVD_SIDE_MIN : model.sampleSize * model.vaeScaleFactor;
  const isSvdSized = trained >= SVD_SIDE_MIN;
  const side = Math.ceil(trained / multiple) * multiple;
  const usual = preset ?? (isSvdSized ? PRESETS.svd : { height: side, width: side });
  const height = checkSide(checks, "height", raw.height, multiple, usual.height);
  const width = checkSide(checks, "width", raw.width, multiple, usual.width);

  const pixels = height * width;
  if (pixels > FRAME_PIXELS_MAX) {
    checks.refuse(
      "height",
      `${height} x ${checks.spell("width")} ${width} are ${pixels} pixels, legal are up to ${FRAME_PIXELS_MAX} (2048 x 2048)`,
    );
  } else if (pixels * numFrames > CLIP_PIXELS_MAX) {
    checks.refuse(
      "num_frames",
      `${numFrames} frames of ${height} x ${width} are ${pixels * numFrames} pixels, legal are up to ${CLIP_PIXELS_MAX} a clip; at this size at most ${Math.floor(CLIP_PIXELS_MAX / pixels)} frames`,
    );
  }
  return { height, width };
}

function checkSide(
  checks: FieldChecks,
  field: string,
  raw: Raw<number> | undefined,
  multiple: number,
  fallback: number,
): number {
  if (raw === undefined) return fallback;
  const value = toNumber(raw);
  const range = { min: Math.max(SIDE_PIXELS.min, multiple), max: SIDE_PIXELS.max };
  const isWithin = Number.isInteger(value) && value >= range.min && value <= range.max;
  if (isWithin && value % multiple === 0) return value;
  const legal = `no multiple of ${multiple} from ${range.min} to ${range.max}`;
  const below = Math.floor(value / multiple) * multiple;
  const nearest = isWithin ? `; nearest are ${below} and ${below + multiple}` : "";
  checks.refuse(field, `${show(raw)} is ${legal}${nearest}`);
  return fallback;
}

function checkSteps(
  checks: FieldChecks,
  raw: RawParameters,
  stepsMax: number,
  preset: PresetDefaults | null,
): Pick<JobParameters, "numInferenceSteps" | "sigmas"> {
  const range = { min: 1, max: stepsMax };
  const usual = preset?.numInferenceSteps ?? NUM_INFERENCE_STEPS_DEFAULT;
  const fallback = Math.min(usual, stepsMax);
  const steps = checks.whole("num_inference_steps", raw.numInferenceSteps, range, fallback);
  const isAligned = checkSchedule(checks, raw.schedule) === "align-your-steps";
  const isListed = raw.sigmas !== undefined && raw.sigmas.length > 0;
  if (isAligned && isListed) {
    checks.refuse("schedule", `contradicts ${checks.spell("sigmas")}; leave one of them out`);
  }
  const sigmas = isAligned ? ALIGN_YOUR_STEPS_SIGMAS : checkSigmas(checks, raw.sigmas);
  if (sigmas === null) return { numInferenceSteps: steps, sigmas };
  if (raw.numInferenceSteps !== undefined && steps !== sigmas.length - 1) {
    checks.refuse(
      "num_inference_steps",
      `${show(raw.numInferenceSteps)} contradicts ${checks.spell(isAligned ? "schedule" : "sigmas")}, whose ${sigmas.length} values make ${sigmas.length - 1} steps; leave one of them out`,
    );
  }
  return { numInferenceSteps: null, sigmas };
}

/** A chunk longer than the clip is the whole clip, as in the reference. */
function checkChunkSize(
  checks: FieldChecks,
  raw: Raw<number> | undefined,
  numFrames: number,
): number {
  if (raw === undefined) return numFrames;
  const value = toNumber(raw);
  if (Number.isSafeInteger(value) && value >= 1) return Math.min(value, numFrames);
  checks.refuse(
    "decode_chunk_size",
    `${show(raw)} is no whole number of at least 1; ${numFrames} decodes all frames at once`,
  );
  return numFrames;
}

function checkBatch(
  checks: FieldChecks,
  raw: RawParameters,
  imageCount: number,
): Pick<JobParameters, "numVideosPerPrompt"> {
  const numVideosPerPrompt = checks.whole(
    "num_videos_per_prompt",
    raw.numVideosPerPrompt,
    NUM_VIDEOS_PER_PROMPT,
    1,
  );
  const clips = imageCount * numVideosPerPrompt;
  if (imageCount < 1) checks.refuse("images", "there is none; give one picture or more");
  if (clips > CLIPS_MAX) {
    checks.refuse(
      numVideosPerPrompt > 1 ? "num_videos_per_prompt" : "images",
      `${imageCount} picture(s) x ${numVideosPerPrompt} video(s) are ${clips} clips, legal are up to ${CLIPS_MAX} a job; send several jobs`,
    );
  }
  return { numVideosPerPrompt };
}

function checkPair(checks: FieldChecks, raw: string | undefined): PairPolicy {
  if (raw === undefined) return "auto";
  const policy = PAIR_POLICIES.find((known) => known === raw);
  if (policy) return policy;
  checks.refuse("pair", `${show(raw)} is unknown; legal are ${PAIR_POLICIES.join(", ")}`);
  return "auto";
}

/** Both are small and at least 1. */
function leastCommonMultiple(a: number, b: number): number {
  let multiple = a;
  while (multiple % b !== 0) multiple += a;
  return multiple;
}
