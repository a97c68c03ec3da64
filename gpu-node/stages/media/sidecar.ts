/** @file The text file beside an mp4 that says how to make the clip again. */
import { stringifyJson } from "../../../shared/core/json-text.js";
import { type ClipParameters, isLossy, type NoisePlan } from "../../../shared/farm/parameters.js";
import type { BranchPoint } from "../../../shared/farm/work.js";

export interface SidecarFacts {
  readonly parameters: ClipParameters;
  readonly noise: NoisePlan;
  readonly modelDigest: string;
  readonly modelName: string;
  readonly branch: BranchPoint | null;
  /** Version of renderfarm. */
  readonly version: string;
  /** The file beside which it lies. */
  readonly fileName: string;
  /** Hex sha256 of that file. */
  readonly sha256: string;
}

/**
 * JSON under diffusers' own parameter names. It holds no time and no machine: equal clips have equal
 * sidecars. Seeds are written as integers of any size, as JSON allows.
 */
export function encodeSidecar(facts: SidecarFacts): Uint8Array {
  const { parameters: p, noise } = facts;
  const sidecar = {
    file: facts.fileName,
    sha256: facts.sha256,
    format: "mp4",
    renderfarm_version: facts.version,
    model: { name: facts.modelName, digest: facts.modelDigest },
    clip_index: noise.clipIndex,
    clip_count: noise.clipCount,
    image_index: noise.imageIndex,
    image_count: noise.imageCount,
    seeds: noise.seeds,
    generator:
      noise.seeds.length === 1
        ? { seed: noise.seeds[0], draws: "the whole batch" }
        : { seed: noise.seeds[noise.clipIndex], draws: "this clip" },
    // What was computed another way than the reference does; [] for a clip that is the reference's.
    lossy: isLossy(p) ? ["cache_interval"] : [],
    latents_sha256: noise.latents?.sha256 ?? null,
    branch: facts.branch && {
      job: facts.branch.jobId,
      clip_index: facts.branch.clipIndex,
      step: facts.branch.step,
    },
    parameters: {
      height: p.height,
      width: p.width,
      num_frames: p.numFrames,
      num_inference_steps: p.numInferenceSteps,
      sigmas: p.sigmas,
      min_guidance_scale: p.minGuidanceScale,
      max_guidance_scale: p.maxGuidanceScale,
      guidance: p.guidance.kind === "frames" ? p.guidance.scales : p.guidance.kind,
      fit: p.fit,
      fps: p.fps,
      motion_bucket_id: p.motionBucketId,
      noise_aug_strength: p.noiseAugStrength,
      decode_chunk_size: p.decodeChunkSize,
      cache_interval: p.cacheInterval,
      num_videos_per_prompt: noise.clipCount / noise.imageCount,
    },
  };
  return new TextEncoder().encode(`${stringifyJson(sidecar)}\n`);
}
