/** @file The flags of everything that renders; they carry diffusers' names. */
import type { Command } from "commander";
import type { RawParameters } from "../shared/farm/validate-request.js";

/** As commander gives them: texts, checked by nobody yet. */
export interface RenderFlags {
  readonly out?: string;
  readonly height?: string;
  readonly width?: string;
  readonly numFrames?: string;
  readonly numInferenceSteps?: string;
  readonly sigmas?: string;
  readonly minGuidanceScale?: string;
  readonly maxGuidanceScale?: string;
  readonly fps?: string;
  readonly motionBucketId?: string;
  readonly noiseAugStrength?: string;
  readonly decodeChunkSize?: string;
  readonly numVideosPerPrompt?: string;
  readonly cacheInterval?: string;
  readonly seed?: string;
  readonly latents?: string;
  readonly format?: string;
  readonly pair?: string;
  readonly guidance?: string;
  readonly fit?: string;
  readonly preset?: string;
  readonly schedule?: string;
  readonly batch?: string;
  readonly json?: boolean;
}

/** Flags whose name is not that of the field with dashes. */
const FLAG_OF_FIELD: Readonly<Record<string, string>> = {
  seeds: "--seed",
  formats: "--format",
  images: "IMAGE",
};

/** How a user of the CLI writes a field of the proto. */
export function flagName(field: string): string {
  return FLAG_OF_FIELD[field] ?? `--${field.replaceAll("_", "-")}`;
}

export function addRenderFlags(command: Command): Command {
  return command
    .option(
      "-o, --out <path>",
      "a file (its extension chooses the format), a folder, or - for stdout",
    )
    .option("--height <pixels>", "multiple of 8 (default: 576, or the size of a small checkpoint)")
    .option("--width <pixels>", "multiple of 8 (default: 1024, or the size of a small checkpoint)")
    .option("--num-frames <n>", "frames of a clip (default: the checkpoint's)")
    .option("--num-inference-steps <n>", "denoising steps (default: 25)")
    .option("--preset <name>", "defaults of svd, svd-xt or svd-xt-1.1 (default: the checkpoint's)")
    .option("--fit <how>", "a picture of other proportions: stretch, crop, pad (default: stretch)")
    .option("--schedule <name>", "default, or align-your-steps: ten steps chosen for SVD")
    .option("--sigmas <list>", "falling noise levels a,b,...,0 in place of steps; or 'ays'")
    .option("--min-guidance-scale <x>", "guidance of the first frame (default: 1.0)")
    .option("--max-guidance-scale <x>", "guidance of the last frame (default: 3.0)")
    .option(
      "--guidance <kind>",
      "scales between the two: linear, triangle (for loops), constant, or one a frame: 1,2,1",
    )
    .option("--fps <n>", "frames a second (default: 7)")
    .option("--motion-bucket-id <n>", "more is more motion (default: 127)")
    .option("--noise-aug-strength <x>", "noise added to the picture (default: 0.02)")
    .option("--decode-chunk-size <n>", "frames decoded at a time (default: all)")
    .option("--cache-interval <n>", "lossy: the whole UNet in every n-th step only (default: 1)")
    .option("--num-videos-per-prompt <n>", "clips from each picture (default: 1)")
    .option(
      "--seed <list>",
      "one for the whole batch, or one a clip: 7 or 7,8; or random (the default)",
    )
    .option("--latents <file>", "initial noise: safetensors [clips, frames, channels, h, w]")
    .option("--format <list>", "mp4, gif, webp, png, safetensors (default: that of --out, or mp4)")
    .option("--pair <policy>", "two nodes for one clip: auto, always, never (default: auto)")
    .option(
      "--batch <file>",
      "clips from a JSONL file, or - for stdin: image, seed, fps, guidance ... a line",
    )
    .option("--json", "one JSON object on stdout in place of the paths");
}

/** @param formats where `--format` is absent */
export function rawParameters(flags: RenderFlags, formats: readonly string[] | undefined) {
  return {
    height: flags.height,
    width: flags.width,
    numFrames: flags.numFrames,
    numInferenceSteps: flags.numInferenceSteps,
    sigmas: flags.sigmas,
    minGuidanceScale: flags.minGuidanceScale,
    maxGuidanceScale: flags.maxGuidanceScale,
    fps: flags.fps,
    motionBucketId: flags.motionBucketId,
    noiseAugStrength: flags.noiseAugStrength,
    decodeChunkSize: flags.decodeChunkSize,
    cacheInterval: flags.cacheInterval,
    numVideosPerPrompt: flags.numVideosPerPrompt,
    // For those who have a seed among their settings.
    seeds: flags.seed === "random" ? undefined : flags.seed,
    formats: flags.format ?? formats,
    pair: flags.pair,
    guidance: flags.guidance,
    fit: flags.fit,
    preset: flags.preset,
    schedule: flags.schedule,
  } satisfies RawParameters;
}
