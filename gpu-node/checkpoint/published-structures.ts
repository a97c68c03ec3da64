/**
 * @file By which structure a checkpoint is told: a fine-tuned or renamed folder has the parameters
 * of the published checkpoint that it came from.
 */
import { createHash } from "node:crypto";
import { type ModelParameters, structureText } from "../model/structure.js";
import type { Checkpoint } from "./open-checkpoint.js";

/** A checkpoint that its makers published, as far as its configs and parameters tell. */
interface PublishedStructure {
  /** Of the repository; of several where nothing in their folders but the weights differs. */
  readonly name: string;
  /** `structureDigest` of its parameters. */
  readonly digest: string;
  /** unet.num_frames: the one thing in which the configs differ. */
  readonly numFrames: number;
}

/** @source named_parameters() of diffusers 0.42.1's and transformers' classes, by test/presets */
const SVD_DIGEST = "f16ff67f81b0500d0c217a6e89059d3ebb7e49d8329dce48574bac59ada22500";

export const PUBLISHED_STRUCTURES: readonly PublishedStructure[] = [
  { name: "stable-video-diffusion-img2vid", digest: SVD_DIGEST, numFrames: 14 },
  { name: "stable-video-diffusion-img2vid-xt or -xt-1-1", digest: SVD_DIGEST, numFrames: 25 },
];

/** Hex sha256 over every parameter's component, name and shape; types and values do not matter. */
export function structureDigest(parameters: ModelParameters): string {
  return createHash("sha256").update(structureText(parameters)).digest("hex");
}

/** The published checkpoint whose structure this one has; null where it is one of its own. */
export function recognizeStructure({
  configs,
  components,
}: Pick<Checkpoint, "configs" | "components">): string | null {
  const { unet, vae, image_encoder } = components;
  const digest = structureDigest({
    unet: unet.weights,
    vae: vae.weights,
    image_encoder: image_encoder.weights,
  });
  const known = PUBLISHED_STRUCTURES.find(
    (each) => each.digest === digest && each.numFrames === configs.unet.num_frames,
  );
  return known?.name ?? null;
}
