/** @file What a command that rendered says on stdout: one JSON object, or the paths. */

import { packageVersion } from "../shared/adapters/files/package-version.js";
import { stringifyJson } from "../shared/core/json-text.js";
import type { ClipView, JobView } from "../shared/farm/job.js";
import type { JobParameters } from "../shared/farm/parameters.js";
import type { WrittenFile } from "./write-outputs.js";

/**
 * Writes the object of `--json`, or the paths of the files, one a line.
 *
 * @param images paths as the user wrote them
 */
export function printResult(
  job: JobView,
  files: readonly WrittenFile[],
  images: readonly string[],
  isJson: boolean,
): void {
  // What went to stdout itself has no path, and no company there.
  if (files.length === 0 && !isJson) return;
  const paths = files.map((file) => file.path);
  process.stdout.write(`${isJson ? jobJson(job, files, images) : paths.join("\n")}\n`);
}

/** Names are those of diffusers and of job.proto. */
function jobJson(job: JobView, files: readonly WrittenFile[], images: readonly string[]): string {
  const { createdAtMs, endedAtMs } = job;
  return stringifyJson({
    renderfarm_version: packageVersion(),
    job_id: job.jobId,
    state: job.state,
    model: { name: job.modelName, digest: job.modelDigest },
    seconds: endedAtMs === null ? null : (endedAtMs - createdAtMs) / 1000,
    parameters: parametersJson(job.parameters),
    clips: job.clips.map((clip) => clipJson(clip, files, images)),
  });
}

function clipJson(clip: ClipView, files: readonly WrittenFile[], images: readonly string[]) {
  return {
    index: clip.index,
    image: images[clip.imageIndex] ?? null,
    state: clip.state,
    plan: clip.plan,
    nodes: [...new Set(clip.stages.flatMap((stage) => stage.nodeIds))].sort(),
    steps: clip.stepsTotal,
    seconds_per_step: clip.secondsPerStep,
    stages: clip.stages.map(({ stage, nodeIds, seconds, attempts }) => ({
      stage,
      nodes: nodeIds,
      seconds,
      attempts,
    })),
    outputs: files
      .filter((file) => file.clipIndexes.includes(clip.index))
      .map(({ format, path, sha256, size }) => ({ format, path, sha256, size })),
  };
}

function parametersJson(p: JobParameters) {
  return {
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
    num_videos_per_prompt: p.numVideosPerPrompt,
    seeds: p.seeds,
    latents_sha256: p.latents?.sha256 ?? null,
    formats: p.formats,
    pair: p.pair,
    clips: p.clips.map((clip) => ({
      image_index: clip.imageIndex,
      seed: clip.seed,
      fps: clip.fps,
      motion_bucket_id: clip.motionBucketId,
      noise_aug_strength: clip.noiseAugStrength,
      min_guidance_scale: clip.minGuidanceScale,
      max_guidance_scale: clip.maxGuidanceScale,
      guidance: clip.guidance.kind === "frames" ? clip.guidance.scales : clip.guidance.kind,
    })),
  };
}
