/**
 * @file What a clip is made from: the parameters of diffusers' StableVideoDiffusionPipeline, with
 * every default filled in. Names follow the reference's.
 */
import type { BlobRef } from "../ports/blob-store.js";
import type { Fit, Guidance } from "./guidance.js";

export const OUTPUT_FORMATS = ["mp4", "gif", "webp", "png", "safetensors"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** auto: pairs while nodes would idle; always: pairs whenever two nodes are alive; never: singles. */
export const PAIR_POLICIES = ["auto", "always", "never"] as const;
export type PairPolicy = (typeof PAIR_POLICIES)[number];

/** Every number of one clip. */
export interface ClipParameters {
  /** Pixels, a multiple of 8. */
  readonly height: number;
  /** Pixels, a multiple of 8. */
  readonly width: number;
  /** Frames of the clip, at least 1. */
  readonly numFrames: number;
  /** Denoising steps; null where `sigmas` says it. */
  readonly numInferenceSteps: number | null;
  /** Noise levels, falling; n values make n - 1 steps. Null: the scheduler's own. */
  readonly sigmas: readonly number[] | null;
  /** Guidance of the first frame; the smallest one where the frames' scales are listed. */
  readonly minGuidanceScale: number;
  /** Guidance of the last or, in a triangle, middle frame; guidance is on when either is above 1. */
  readonly maxGuidanceScale: number;
  readonly guidance: Guidance;
  /** How a picture of other proportions is brought to the clip's size. */
  readonly fit: Fit;
  /** Frames a second of the file; the UNet is told fps - 1. */
  readonly fps: number;
  readonly motionBucketId: number;
  /** Standard deviation of the noise added to the picture, in units of its -1..1 range. */
  readonly noiseAugStrength: number;
  /** Frames decoded at a time, 1..numFrames. */
  readonly decodeChunkSize: number;
  /**
   * Steps from one that runs the whole UNet to the next; those between reuse the features of its
   * inner blocks, which is faster and not the reference's clip. 1: every step is whole.
   */
  readonly cacheInterval: number;
}

/** One value: diffusers' single generator over the whole batch. Several: one generator a clip. */
export type Seeds = readonly bigint[];

/** Whether a clip is anything but the reference's. */
export function isLossy({ cacheInterval }: Pick<ClipParameters, "cacheInterval">): boolean {
  return cacheInterval > 1;
}

/** Where the noise of one clip lies in the random streams of its job. */
export interface NoisePlan {
  readonly seeds: Seeds;
  /** Pictures of the whole job. */
  readonly imageCount: number;
  /** Clips of the whole job: pictures times videos a picture. */
  readonly clipCount: number;
  readonly imageIndex: number;
  readonly clipIndex: number;
  /** Initial noise [clips, frames, channels, h, w] from a file instead of the generator. */
  readonly latents: BlobRef | null;
}

/** What one clip of a list has of its own, every value filled in. */
export interface ClipOverrides
  extends Pick<
    ClipParameters,
    | "fps"
    | "motionBucketId"
    | "noiseAugStrength"
    | "minGuidanceScale"
    | "maxGuidanceScale"
    | "guidance"
  > {
  /** Of the job's pictures. */
  readonly imageIndex: number;
  /** Its noise is that of a job of this clip alone. */
  readonly seed: bigint;
}

/** A whole job as it was accepted. */
export interface JobParameters extends ClipParameters {
  readonly numVideosPerPrompt: number;
  readonly seeds: Seeds;
  readonly latents: BlobRef | null;
  readonly formats: readonly OutputFormat[];
  readonly pair: PairPolicy;
  /** One entry a clip; [] where every picture is made into `numVideosPerPrompt` clips alike. */
  readonly clips: readonly ClipOverrides[];
}

/** Clips of a job of so many pictures. */
export function clipCountOf(
  { clips, numVideosPerPrompt }: Pick<JobParameters, "clips" | "numVideosPerPrompt">,
  imageCount: number,
): number {
  return clips.length > 0 ? clips.length : imageCount * numVideosPerPrompt;
}

/** The picture of a clip; diffusers makes all videos of a picture before the next picture's. */
export function imageIndexOf(
  { clips, numVideosPerPrompt }: Pick<JobParameters, "clips" | "numVideosPerPrompt">,
  clipIndex: number,
): number {
  return clips[clipIndex]?.imageIndex ?? Math.floor(clipIndex / numVideosPerPrompt);
}

/** The numbers of one clip of a job. */
export function clipParametersOf(job: JobParameters, clipIndex: number): ClipParameters {
  const { numVideosPerPrompt: _n, seeds: _s, latents: _l, formats: _f, ...rest } = job;
  const { pair: _p, clips, ...shared } = rest;
  const own = clips[clipIndex];
  if (!own) return shared;
  const { imageIndex: _i, seed: _seed, ...values } = own;
  return { ...shared, ...values };
}

/** Where the noise of one clip of a job lies. */
export function noisePlanOf(job: JobParameters, imageCount: number, clipIndex: number): NoisePlan {
  const own = job.clips[clipIndex];
  if (own) {
    const alone = { imageCount: 1, clipCount: 1, imageIndex: 0, clipIndex: 0 };
    return { ...alone, seeds: [own.seed], latents: null };
  }
  return {
    seeds: job.seeds,
    imageCount,
    clipCount: clipCountOf(job, imageCount),
    imageIndex: imageIndexOf(job, clipIndex),
    clipIndex,
    latents: job.latents,
  };
}

/**
 * How many steps a checkpoint's scheduler makes of those asked for. as-asked: as many; one-more: one
 * more; trailing: one more for the few numbers at which `trailingStepCount` says so.
 */
export const STEP_RULES = ["as-asked", "one-more", "trailing"] as const;
export type StepRule = (typeof STEP_RULES)[number];

/** Steps that are asked for: what a checkpoint's scheduler makes of them is `stepsMade`. */
export function stepCount(
  parameters: Pick<ClipParameters, "numInferenceSteps" | "sigmas">,
): number {
  return parameters.sigmas ? parameters.sigmas.length - 1 : (parameters.numInferenceSteps ?? 0);
}

/** Steps that the denoising of these parameters takes; sigmas of one's own are taken as they are. */
export function stepsMade(
  parameters: Pick<ClipParameters, "numInferenceSteps" | "sigmas">,
  model: { readonly stepRule: StepRule; readonly numTrainTimesteps: number },
): number {
  const asked = stepCount(parameters);
  if (parameters.sigmas) return asked;
  switch (model.stepRule) {
    case "as-asked":
      return asked;
    case "one-more":
      return asked + 1;
    case "trailing":
      return trailingStepCount(model.numTrainTimesteps, asked);
  }
}

/**
 * Length of numpy.arange(train, 0, -train / count), rounding included: one more than `count` for a
 * few counts, 61 and 103 of 1000 being the first.
 *
 * @source diffusers schedulers/scheduling_euler_discrete.py, set_timesteps, "trailing"
 */
export function trailingStepCount(train: number, count: number): number {
  return Math.ceil(-train / -(train / count));
}

/**
 * Whether a step has two halves; without guidance it has the conditional one only.
 *
 * The reference looks at the last frame's scale alone and then fails in its loop when the first
 * frame's is above 1 and the last one's is not; here such a falling ramp is guided.
 *
 * @source diffusers pipeline_stable_video_diffusion.py, do_classifier_free_guidance
 */
export function isGuided(
  parameters: Pick<ClipParameters, "minGuidanceScale" | "maxGuidanceScale">,
): boolean {
  return Math.max(parameters.minGuidanceScale, parameters.maxGuidanceScale) > 1;
}

/** First frame and length of every decode chunk, in order; the last one may be shorter. */
export function planChunks(
  numFrames: number,
  decodeChunkSize: number,
): { readonly firstFrame: number; readonly frameCount: number }[] {
  const count = Math.ceil(numFrames / decodeChunkSize);
  return Array.from({ length: count }, (_, i) => ({
    firstFrame: i * decodeChunkSize,
    frameCount: Math.min(decodeChunkSize, numFrames - i * decodeChunkSize),
  }));
}
