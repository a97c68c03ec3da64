/** @file What a clip has to become: the same stages in one place, without farm or faults. */
import type { NewJob } from "../../coordinator/plan/job.js";
import type { NoisePlan } from "../../shared/farm/parameters.js";
import { isGuided, planChunks, stepCount } from "../../shared/farm/parameters.js";
import type { GuidanceHalf, MuxWork } from "../../shared/farm/work.js";
import { digest } from "./digest.js";

/** Digests that a clip must have after each stage, whatever happened on the way. */
export interface ClipReference {
  readonly conditioning: string;
  /** After 0, 1, ... steps. */
  readonly latents: readonly string[];
  readonly chunks: readonly string[];
  /** By file name. */
  readonly files: ReadonlyMap<string, string>;
}

export function conditioningOf(
  image: string,
  noise: Pick<NoisePlan, "seeds" | "clipIndex">,
): string {
  return digest("conditioning", image, noise.seeds.join(), noise.clipIndex);
}

export function firstLatents(conditioning: string): string {
  return digest("noise", conditioning);
}

export function halfOf(half: GuidanceHalf, step: number, latents: string): string {
  return digest(half, step, latents);
}

/** @param uncond null without guidance */
export function stepped(latents: string, uncond: string | null, cond: string): string {
  return digest("step", latents, uncond ?? "", cond);
}

export function chunkOf(latents: string, firstFrame: number, frameCount: number): string {
  return digest("chunk", latents, firstFrame, frameCount);
}

/** File name and content of each output. */
export function filesOf(
  chunks: readonly string[],
  formats: MuxWork["formats"],
): readonly (readonly [name: string, format: MuxWork["formats"][number], content: string])[] {
  return formats.map((format) => [`clip.${format}`, format, digest(format, ...chunks)]);
}

export function referenceOf(job: NewJob, clipIndex: number): ClipReference {
  const { parameters, images } = job;
  const image = images[Math.floor(clipIndex / parameters.numVideosPerPrompt)]!;
  const conditioning = conditioningOf(image.sha256, { seeds: parameters.seeds, clipIndex });
  const { branch, branchLatents } = job;
  const first = branch?.step ?? 0;
  const latents = Array.from({ length: first }, () => "of the clip branched from");
  latents.push(branchLatents?.sha256 ?? firstLatents(conditioning));
  for (let step = first; step < stepCount(parameters); step++) {
    const before = latents[step]!;
    const uncond = isGuided(parameters) ? halfOf("uncond", step, before) : null;
    latents.push(stepped(before, uncond, halfOf("cond", step, before)));
  }
  const last = latents.at(-1)!;
  const chunks = planChunks(parameters.numFrames, parameters.decodeChunkSize).map(
    ({ firstFrame, frameCount }) => chunkOf(last, firstFrame, frameCount),
  );
  const files = filesOf(chunks, parameters.formats);
  return {
    conditioning,
    latents,
    chunks,
    files: new Map(files.map(([name, , content]) => [name, content])),
  };
}
