/** @file What others have to know of a checkpoint. */
import { basename, dirname } from "node:path";
import type { ModelInfo } from "../../shared/farm/work.js";
import { elementCount } from "../../shared/tensor/tensor.js";
import { stepRuleOf } from "../diffusion/euler-discrete.js";
import type { WeightDtype, WeightIndex } from "../model/weights.js";
import type { Checkpoint } from "./open-checkpoint.js";

/**
 * What a request is checked against.
 *
 * @param digest of `digestCheckpoint`
 */
export function describeCheckpoint(checkpoint: Checkpoint, digest: string): ModelInfo {
  const { unet, vae, scheduler } = checkpoint.configs;
  return {
    digest,
    name: checkpointName(checkpoint.root),
    numFrames: unet.num_frames,
    sampleSize: unet.sample_size,
    vaeScaleFactor: 2 ** (vae.block_out_channels.length - 1),
    latentChannels: vae.latent_channels,
    numTrainTimesteps: scheduler.num_train_timesteps,
    stepRule: stepRuleOf(scheduler),
  };
}

/** How a component is stored. */
export interface ComponentSummary {
  readonly parameterCount: number;
  /** Bytes of all parameters on disk. */
  readonly byteLength: number;
  /** The types that occur, widest first. */
  readonly dtypes: readonly WeightDtype[];
}

/** The size of a component, for logs and benchmarks. */
export function summarizeWeights(weights: WeightIndex): ComponentSummary {
  let parameterCount = 0;
  let byteLength = 0;
  const found = new Set<WeightDtype>();
  for (const entry of weights.values()) {
    parameterCount += elementCount(entry.shape);
    byteLength += entry.byteLength;
    found.add(entry.dtype);
  }
  const dtypes = (["F32", "F16", "BF16"] as const).filter((dtype) => found.has(dtype));
  return { parameterCount, byteLength, dtypes };
}

/** The folder's name; inside a Hugging Face cache that of the repository. */
function checkpointName(root: string): string {
  const repository = /^models--(.+)$/.exec(basename(dirname(dirname(root))));
  const name = repository?.[1]?.replaceAll("--", "/") ?? basename(root);
  return name.slice(0, NAME_LENGTH_MAX);
}

/** What the wire carries of a name. */
const NAME_LENGTH_MAX = 255;
