/** @file Whether a checkpoint can render a request, found out before any process is started. */
import { totalmem } from "node:os";
import { join } from "node:path";
import { usableMemory } from "../gpu-node/agent/memory.js";
import { describeCheckpoint } from "../gpu-node/checkpoint/describe-checkpoint.js";
import { type Checkpoint, openCheckpoint } from "../gpu-node/checkpoint/open-checkpoint.js";
import { planSteps } from "../gpu-node/diffusion/euler-discrete.js";
import {
  buildVaeDecoder,
  buildVaeEncoder,
} from "../gpu-node/model/autoencoder-kl-temporal-decoder.js";
import { buildImageEncoder } from "../gpu-node/model/clip-vision.js";
import type { BuiltGraph } from "../gpu-node/model/graph.js";
import { processBytes } from "../gpu-node/model/memory-plan.js";
import { buildUnet } from "../gpu-node/model/unet-spatio-temporal-condition.js";
import { formatBytes } from "../shared/core/bytes.js";
import { asFarmError, type Violation } from "../shared/core/errors.js";
import { type ClipParameters, stepCount } from "../shared/farm/parameters.js";
import { resolveParameters } from "../shared/farm/validate-request.js";
import type { ModelInfo } from "../shared/farm/work.js";

export interface OpenedCheckpoint {
  /** As the user wrote it. */
  readonly folder: string;
  readonly checkpoint: Checkpoint;
  /** Without its digest: reading every byte is the nodes' work. */
  readonly model: ModelInfo;
}

/**
 * Opens a folder; configs and tensor headers are read, no weights.
 *
 * @param violations gets one entry for each problem, naming file and field or tensor
 * @returns null when there is one
 */
export async function openForRequest(
  folder: string,
  variant: "auto" | "fp32" | "fp16",
  violations: Violation[],
): Promise<OpenedCheckpoint | null> {
  try {
    const checkpoint = await openCheckpoint(folder, { variant });
    return { folder, checkpoint, model: describeCheckpoint(checkpoint, "") };
  } catch (error) {
    violations.push(...problemsOf(error, folder));
    return null;
  }
}

/** What a request that says nothing asks of the checkpoint. */
export function defaultsOf(model: ModelInfo): ClipParameters {
  const surroundings = { model, imageCount: 1, drawnSeed: 0, hasFfmpeg: true };
  const resolved = resolveParameters({}, surroundings);
  return "parameters" in resolved ? resolved.parameters : resolved.assumed;
}

/**
 * Builds the step table and every graph of a request and drops them: only that tells whether each
 * parameter is there, has the right shape, and none is left over.
 */
export function checkGraphs(
  { folder, checkpoint, model }: OpenedCheckpoint,
  parameters: ClipParameters,
  violations: Violation[],
  { onProcessor }: { readonly onProcessor: boolean },
): void {
  const { configs, components } = checkpoint;
  const { height, width, numFrames, decodeChunkSize } = parameters;
  const latent = { height: height / model.vaeScaleFactor, width: width / model.vaeScaleFactor };
  const { unet, vae, image_encoder } = components;
  const steps = parameters.sigmas
    ? { sigmas: parameters.sigmas }
    : { numInferenceSteps: stepCount(parameters) };
  const builds = [
    () => planSteps(configs.scheduler, steps),
    () => buildImageEncoder(configs.image_encoder, image_encoder.weights),
    () => buildVaeEncoder(configs.vae, vae.weights, { height, width }),
    () => buildUnet(configs.unet, unet.weights, { frames: numFrames, ...latent }),
    () => buildVaeDecoder(configs.vae, vae.weights, { frames: decodeChunkSize, ...latent }),
  ];
  const graphs: BuiltGraph[] = [];
  for (const build of builds) {
    try {
      const built = build();
      if ("weightBytes" in built) graphs.push(built);
    } catch (error) {
      violations.push(...problemsOf(error, folder));
    }
  }
  if (onProcessor) checkMemory(graphs, violations);
}

/**
 * Refuses on the processor what no node on this machine could load: a stage's graphs that take more
 * than all of its memory. Nodes themselves refuse by what is theirs.
 */
function checkMemory(graphs: readonly BuiltGraph[], violations: Violation[]): void {
  const total = usableMemory(process.constrainedMemory(), totalmem());
  const most = Math.max(...graphs.map((graph) => processBytes([graph])));
  if (most <= total) return;
  const description =
    `takes ${formatBytes(most)} of memory at this size, and this machine has ${formatBytes(total)}; ` +
    "make the clip smaller (--height, --width, --num-frames, --decode-chunk-size)";
  violations.push({ field: "memory", description });
}

/** A checkpoint of another model differs in hundreds of parameters; some of them tell enough. */
const PROBLEMS_SHOWN = 12;

/** Fields are files, components or parameters of the folder: a message names that as well. */
function problemsOf(error: unknown, folder: string): Violation[] {
  const { violations, detail } = asFarmError(error);
  if (violations.length === 0) return [{ field: folder, description: detail }];
  const shown = violations.slice(0, PROBLEMS_SHOWN).map(({ field, description }) => ({
    field: field === folder ? folder : join(folder, field),
    description,
  }));
  const more = violations.length - shown.length;
  if (more > 0) shown.push({ field: folder, description: `and ${more} problems more` });
  return shown;
}
