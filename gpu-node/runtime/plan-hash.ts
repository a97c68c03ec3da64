/** @file What must be equal on two nodes for their halves of a step to be the same bytes. */
import { createHash } from "node:crypto";
import { buildVaeDecoder, buildVaeEncoder } from "../model/autoencoder-kl-temporal-decoder.js";
import { buildImageEncoder } from "../model/clip-vision.js";
import type { GraphVariant } from "../model/graph.js";
import type { ModelConfigs } from "../model/structure.js";
import { buildUnet } from "../model/unet-spatio-temporal-condition.js";
import { ImpliedWeights } from "../model/weights.js";

export interface RuntimeIdentity {
  /** Hex sha256 over the checkpoint's files. */
  readonly modelDigest: string;
  /** Hex sha256 of the graphs as this version of ours builds them: other forms, other last digits. */
  readonly graphs: string;
  /** Version of onnxruntime. */
  readonly ortVersion: string;
  /** Execution provider, e.g. "cpu". */
  readonly provider: string;
  /** What computes, e.g. the processor's model name: kernels differ from one to the next. */
  readonly device: string;
  /** Type of the graphs' values, e.g. "float32". */
  readonly dtype: string;
}

/** Hex sha256; nodes with different hashes are never paired. */
export function runtimePlanHash(identity: RuntimeIdentity): string {
  const { modelDigest, graphs, ortVersion, provider, device, dtype } = identity;
  const fields = JSON.stringify([modelDigest, graphs, ortVersion, provider, device, dtype]);
  return createHash("sha256").update(fields).digest("hex");
}

/**
 * Hex sha256 over the graphs at one small size. It tells two versions of renderfarm apart exactly
 * where their graphs differ, so a farm can be upgraded node by node.
 */
export function graphsDigest(configs: ModelConfigs, variant: GraphVariant): string {
  const implied = () => new ImpliedWeights("F32");
  const side = 2 ** (configs.vae.block_out_channels.length - 1);
  const clip = { frames: 2, height: 8, width: 8 };
  const picture = { height: 8 * side, width: 8 * side };
  const hash = createHash("sha256");
  // At this size no chunk may be smaller than the clip.
  if (variant.forwardChunkSize !== undefined) hash.update(`${variant.forwardChunkSize}`);
  for (const { bytes } of [
    buildImageEncoder(configs.image_encoder, implied(), variant),
    buildVaeEncoder(configs.vae, implied(), picture, variant),
    buildUnet(configs.unet, implied(), clip, variant),
    buildVaeDecoder(configs.vae, implied(), clip, variant),
  ]) {
    hash.update(bytes);
  }
  return hash.digest("hex");
}
