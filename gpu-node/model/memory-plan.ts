/**
 * @file How much memory the process of a runtime takes for a clip, before anything is loaded.
 *
 * Three parts add up: the engine itself; each open graph's nodes and weights; and the arena in which
 * its results lie, which is never given back while the session is open. Measured by
 * `npm run bench -- memory`.
 */
import { buildVaeDecoder, buildVaeEncoder } from "./autoencoder-kl-temporal-decoder.js";
import { buildImageEncoder } from "./clip-vision.js";
import type { BuiltGraph, GraphVariant } from "./graph.js";
import type { ModelConfigs, ModelParameters } from "./structure.js";
import { buildUnet } from "./unet-spatio-temporal-condition.js";

const MIB = 2 ** 20;

/**
 * Node and the engine's library; a node of a graph in its several forms while it is loaded; weights,
 * which are copied into the form that kernels read (packed, in blocks) while the first form is there;
 * those stored in halves, whose files stay mapped; the arena, which splinters.
 *
 * @source fitted to the peaks of 17 runs, from 116 MiB to 9.2 GiB: none of them is off by more than
 *   15 % (docs/performance.md)
 */
const FIT = {
  processBytes: 124.5 * MIB,
  nodeBytes: 14.8 * 1024,
  weights: 1.095,
  converted: 0.5475,
  arena: 1.137,
} as const;

/** What a graph tells of its size. */
export type GraphSize = Pick<BuiltGraph, "nodeCount" | "weightBytes" | "convertedBytes"> & {
  readonly costs: Pick<BuiltGraph["costs"], "arenaBytes">;
};

/**
 * The most bytes of a process whose sessions of these graphs have all run.
 *
 * @returns bytes of the whole process, on the CPU provider
 */
export function processBytes(graphs: readonly GraphSize[]): number {
  return graphs.reduce((sum, graph) => sum + sessionBytes(graph), FIT.processBytes);
}

function sessionBytes({ nodeCount, weightBytes, convertedBytes, costs }: GraphSize): number {
  const loaded = FIT.weights * weightBytes + FIT.converted * convertedBytes;
  return Math.ceil(nodeCount * FIT.nodeBytes + loaded + FIT.arena * costs.arenaBytes);
}

/** A clip as far as memory goes. */
export interface ClipMemoryRequest {
  readonly frames: number;
  /** Pixels. */
  readonly height: number;
  readonly width: number;
  /** Frames decoded at a time. */
  readonly decodeChunk: number;
}

/** Peak bytes of a runtime's process. */
export interface MemoryPlan {
  /** With the models of one stage loaded. */
  readonly condition: number;
  readonly denoise: number;
  readonly decode: number;
  /** With those of all stages, as a node without offload has them in the end. */
  readonly together: number;
}

/**
 * @param variant of the graphs; absent: the processor's
 * @throws FarmError "checkpoint-invalid" when weights and configs do not fit each other
 */
export function planMemory(
  configs: ModelConfigs,
  weights: ModelParameters,
  clip: ClipMemoryRequest,
  variant?: GraphVariant,
): MemoryPlan {
  const factor = 2 ** (configs.vae.block_out_channels.length - 1);
  const cells = { height: clip.height / factor, width: clip.width / factor };
  const condition = [
    buildImageEncoder(configs.image_encoder, weights.image_encoder, variant),
    buildVaeEncoder(configs.vae, weights.vae, clip, variant),
  ];
  const denoise = [
    buildUnet(configs.unet, weights.unet, { frames: clip.frames, ...cells }, variant),
  ];
  const decode = [
    buildVaeDecoder(configs.vae, weights.vae, { frames: clip.decodeChunk, ...cells }, variant),
  ];
  return {
    condition: processBytes(condition),
    denoise: processBytes(denoise),
    decode: processBytes(decode),
    together: processBytes([...condition, ...denoise, ...decode]),
  };
}

/**
 * The largest number of frames whose decoding fits, and less than `frames`.
 *
 * @param fits whether a chunk of so many frames fits; a smaller one does when a larger one does
 * @returns null when not even a single frame fits
 */
export function largestFittingChunk(
  frames: number,
  fits: (frames: number) => boolean,
): number | null {
  let [fitting, tooLarge] = [0, frames];
  while (tooLarge - fitting > 1) {
    const middle = (fitting + tooLarge) >> 1;
    if (fits(middle)) fitting = middle;
    else tooLarge = middle;
  }
  return fitting === 0 ? null : fitting;
}
