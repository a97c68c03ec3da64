/** @file Clips of one job that differ from each other: the fields that each may have of its own. */
import type { FieldChecks, Raw } from "./field-checks.js";
import { show } from "./field-checks.js";
import { CLIPS_MAX, FPS, MOTION_BUCKET_ID, NOISE_AUG_STRENGTH, SEED_MAX } from "./limits.js";
import type { ClipOverrides, JobParameters, Seeds } from "./parameters.js";
import { checkGuidance, guidanceKindOf, type RawGuidance } from "./request-looks.js";

/** One clip as a user gave it; what is absent is as in the whole job. */
export interface RawClip {
  /** Index into the job's pictures; absent: the clip's own index, or the only picture. */
  readonly imageIndex?: Raw<number> | undefined;
  readonly seed?: Raw<bigint> | Raw<number> | undefined;
  readonly fps?: Raw<number> | undefined;
  readonly motionBucketId?: Raw<number> | undefined;
  readonly noiseAugStrength?: Raw<number> | undefined;
  readonly minGuidanceScale?: Raw<number> | undefined;
  readonly maxGuidanceScale?: Raw<number> | undefined;
  readonly guidance?: RawGuidance | undefined;
}

/** What the clips of a job are checked against. */
export interface WholeJob {
  readonly imageCount: number;
  /** What a clip leaves out. */
  readonly parameters: Omit<JobParameters, "clips">;
}

/**
 * Every clip with all of its values.
 *
 * A clip of such a list draws its noise alone: the same seed gives the same clip in any batch. One
 * seed for the job gives clip i that seed plus i.
 *
 * @returns [] where the job has no list, and where the list as a whole is wrong
 */
export function checkClips(
  checks: FieldChecks,
  raws: readonly RawClip[] | undefined,
  job: WholeJob,
): readonly ClipOverrides[] {
  // An empty list is how the wire says "absent".
  if (raws === undefined || raws.length === 0) return [];
  if (raws.length > CLIPS_MAX) {
    const legal = `legal are up to ${CLIPS_MAX} a job; send several jobs`;
    checks.refuse("clips", `lists ${raws.length} clips, ${legal}`);
    return [];
  }
  const { numVideosPerPrompt, latents } = job.parameters;
  if (numVideosPerPrompt !== 1) {
    const description = `is ${numVideosPerPrompt} beside a list of clips; name a clip several times`;
    checks.refuse("num_videos_per_prompt", description);
  }
  if (latents !== null) {
    checks.refuse("latents", "are no choice beside a list of clips, which draw their own noise");
  }
  return raws.map((raw, i) => checkClip(checks.within(`clips[${i}].`), raw, i, job));
}

function checkClip(checks: FieldChecks, raw: RawClip, i: number, job: WholeJob): ClipOverrides {
  const { imageCount, parameters } = job;
  const lastImage = { min: 0, max: Math.max(0, imageCount - 1) };
  const ownImage = imageCount === 1 ? 0 : i;
  if (raw.imageIndex === undefined && ownImage >= imageCount) {
    checks.refuse("image_index", `is missing; the job has ${imageCount} pictures`);
  }
  return {
    imageIndex: checks.whole("image_index", raw.imageIndex, lastImage, ownImage),
    seed: checkSeed(checks, raw.seed, seedOf(parameters.seeds, i)),
    fps: checks.whole("fps", raw.fps, FPS, parameters.fps),
    motionBucketId: checks.whole(
      "motion_bucket_id",
      raw.motionBucketId,
      MOTION_BUCKET_ID,
      parameters.motionBucketId,
    ),
    noiseAugStrength: checks.real(
      "noise_aug_strength",
      raw.noiseAugStrength,
      NOISE_AUG_STRENGTH,
      parameters.noiseAugStrength,
    ),
    ...clipGuidance(checks, raw, job),
  };
}

function seedOf(seeds: Seeds, i: number): bigint {
  return seeds.length > 1 ? (seeds[i] ?? 0n) : (seeds[0]! + BigInt(i)) % (SEED_MAX + 1n);
}

function checkSeed(checks: FieldChecks, raw: RawClip["seed"], fallback: bigint): bigint {
  if (raw === undefined) return fallback;
  // A number beyond this has lost its last digits before it came here.
  const isExact = typeof raw !== "number" || Number.isSafeInteger(raw);
  const text = isExact ? String(raw).trim() : "";
  const seed = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n;
  if (seed >= 0n && seed <= SEED_MAX) return seed;
  checks.refuse("seed", `${show(raw)} is no whole number from 0 to ${SEED_MAX}`);
  return fallback;
}

/** What a clip leaves out is the job's; scales listed for the whole job give way to a clip's ends. */
function clipGuidance(checks: FieldChecks, raw: RawClip, { parameters: job }: WholeJob) {
  const { minGuidanceScale: min, maxGuidanceScale: max } = raw;
  const isAsJob = [raw.guidance, min, max].every((value) => value === undefined);
  if (isAsJob) {
    const { guidance, minGuidanceScale, maxGuidanceScale } = job;
    return { guidance, minGuidanceScale, maxGuidanceScale };
  }
  const jobKind = job.guidance.kind === "frames" ? "linear" : job.guidance.kind;
  const guidance = raw.guidance ?? jobKind;
  const kind = guidanceKindOf(guidance);
  const hasOneScale = kind === "frames" || kind === "constant";
  return checkGuidance(
    checks,
    {
      guidance,
      minGuidanceScale: min ?? (hasOneScale ? undefined : job.minGuidanceScale),
      maxGuidanceScale: max ?? (kind === "frames" ? undefined : job.maxGuidanceScale),
    },
    job.numFrames,
  );
}
