/** @file A runtime in this very process: builds a graph when it is first asked for, and keeps it. */
import { env } from "onnxruntime-node";
import { assertNever } from "../../shared/core/assert.js";
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import type { Tensor } from "../../shared/tensor/tensor.js";
import { describeCheckpoint, summarizeWeights } from "../checkpoint/describe-checkpoint.js";
import { digestCheckpoint } from "../checkpoint/digest-checkpoint.js";
import { type Checkpoint, openCheckpoint } from "../checkpoint/open-checkpoint.js";
import { recognizeStructure } from "../checkpoint/published-structures.js";
import { buildVaeDecoder, buildVaeEncoder } from "../model/autoencoder-kl-temporal-decoder.js";
import { buildImageEncoder } from "../model/clip-vision.js";
import type { VaeConfig } from "../model/configs/vae-config.js";
import type { BuiltGraph, GraphVariant } from "../model/graph.js";
import { type GraphSize, processBytes } from "../model/memory-plan.js";
import { buildUnet } from "../model/unet-spatio-temporal-condition.js";
import { refuseOverMemory } from "./memory-guard.js";
import { graphsDigest } from "./plan-hash.js";
import { probeProvider } from "./probe-provider.js";
import { chooseDtype, variantOf } from "./provider.js";
import {
  describeGraph,
  type GraphSpec,
  type ModelStage,
  type Runtime,
  STAGE_OF_MODULE,
} from "./runtime.js";
import type { RuntimeInfo, RuntimeSettings } from "./runtime-info.js";
import { openSession, type Session } from "./session.js";

export interface InProcessRuntime extends Runtime {
  readonly info: RuntimeInfo;
  /** The graphs whose sessions are open, in words. */
  openGraphs(): string[];
}

/**
 * Sessions kept open of each module, the most recently used ones. One clip size needs one, and two of
 * the decoder (whole chunks and the last one). They are not dropped without need, since opening and
 * releasing one leaks memory in onnxruntime, and not kept without end, since each holds its weights.
 */
export const SESSIONS_MAX = {
  unet: 2,
  vae_decoder: 4,
  vae_encoder: 2,
  image_encoder: 1,
} as const satisfies Record<GraphSpec["module"], number>;

/**
 * Opens a checkpoint; no graph is built yet.
 *
 * @throws FarmError "checkpoint-invalid" with everything that is wrong with the folder
 */
export async function openInProcessRuntime(settings: RuntimeSettings): Promise<InProcessRuntime> {
  const checkpoint = await openCheckpoint(settings.checkpointDir, {
    variant: settings.variant ?? "auto",
  });
  const stored = summarizeWeights(checkpoint.components.unet.weights).dtypes;
  const dtype = chooseDtype(settings.dtype ?? "auto", settings.provider, stored);
  await probeProvider(settings, dtype);
  const { digest } = await digestCheckpoint(checkpoint);
  const variant = variantOf(settings.provider, dtype, settings.forwardChunkSize);
  const info: RuntimeInfo = {
    model: describeCheckpoint(checkpoint, digest),
    configs: checkpoint.configs,
    dtype,
    structure: recognizeStructure(checkpoint),
    graphs: graphsDigest(checkpoint.configs, variant),
    ortVersion: env.versions.node ?? "unknown",
  };
  /** By module, then by graph, the least recently used first. */
  const sessions: OpenSessions = new Map();
  let last: Promise<unknown> = Promise.resolve();

  const sessionFor = async (graph: GraphSpec): Promise<Session> => {
    const { module } = graph;
    const kept = sessions.get(module) ?? new Map<string, OpenSession>();
    const key = describeGraph(graph);
    let open = kept.get(key);
    if (open === undefined) {
      const { built, folder } = buildGraph(checkpoint, graph, variant);
      await makeRoom(checkpoint, sessions, { graph, built, variant }, settings);
      const [oldest] = kept;
      if (oldest !== undefined && kept.size === SESSIONS_MAX[module]) {
        kept.delete(oldest[0]);
        await oldest[1].session.close();
      }
      const { nodeCount, weightBytes, convertedBytes, costs } = built;
      const size = { nodeCount, weightBytes, convertedBytes, costs };
      open = { session: await openSession(built, folder, settings), size };
    }
    sessions.set(module, kept);
    kept.delete(key);
    kept.set(key, open);
    return open.session;
  };

  const runNow = async (graph: GraphSpec, inputs: Readonly<Record<string, Tensor>>) => {
    try {
      return await (await sessionFor(graph)).run(inputs);
    } catch (error) {
      const { code, detail, violations } = asFarmError(error, "runtime-failed");
      throw new FarmError(code, `${describeGraph(graph)}: ${detail}`, { violations, cause: error });
    }
  };

  /** One after the other: a run takes all threads, and the cache changes between runs only. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work);
    last = turn.catch(() => undefined);
    return turn;
  };

  return {
    info,
    openGraphs: () => [...sessions.values()].flatMap((kept) => [...kept.keys()]),
    run: (graph, inputs) => inTurn(() => runNow(graph, inputs)),
    close: () => inTurn(() => closeOtherStages(sessions, null)),
  };
}

interface OpenSession {
  readonly session: Session;
  readonly size: GraphSize;
}

/** A graph that is to be opened. */
interface AskedGraph {
  readonly graph: GraphSpec;
  readonly built: BuiltGraph;
  readonly variant: GraphVariant;
}

/** By module, then by graph, the least recently used first. */
type OpenSessions = Map<GraphSpec["module"], Map<string, OpenSession>>;

/** Closes what has to go before a graph is loaded; refuses one that fits even so nowhere. */
async function makeRoom(
  checkpoint: Checkpoint,
  sessions: OpenSessions,
  { graph, built, variant }: AskedGraph,
  { offload = false, memoryBytes = null }: RuntimeSettings,
): Promise<void> {
  const stage = STAGE_OF_MODULE[graph.module];
  if (memoryBytes !== null) {
    const withFrames = (frames: number) =>
      buildGraph(checkpoint, "frames" in graph ? { ...graph, frames } : graph, variant).built;
    const withForwardChunk = (forwardChunkSize: number) =>
      buildGraph(checkpoint, graph, { ...variant, forwardChunkSize }).built;
    refuseOverMemory({ graph, size: built, memoryBytes, withFrames, withForwardChunk });
  }
  const sizes = [...sessions.values()].flatMap((kept) => [...kept.values()].map((o) => o.size));
  const isOver = memoryBytes !== null && processBytes([...sizes, built]) > memoryBytes;
  if (offload || isOver) await closeOtherStages(sessions, stage);
}

/** @param kept the stage whose sessions stay open; null: none does */
async function closeOtherStages(sessions: OpenSessions, kept: ModelStage | null): Promise<void> {
  for (const [module, open] of sessions) {
    if (STAGE_OF_MODULE[module] === kept) continue;
    sessions.delete(module);
    for (const { session } of open.values()) await session.close();
  }
}

/** A graph, and the folder of the files that it reads its weights from. */
function buildGraph(
  { components, configs }: Checkpoint,
  graph: GraphSpec,
  variant: GraphVariant,
): { readonly built: BuiltGraph; readonly folder: string } {
  const { unet, vae, image_encoder } = components;
  switch (graph.module) {
    case "unet":
      return { built: buildUnet(configs.unet, unet.weights, graph, variant), folder: unet.folder };
    case "vae_decoder":
      return {
        built: buildVaeDecoder(configs.vae, vae.weights, graph, variant),
        folder: vae.folder,
      };
    case "vae_encoder":
      return {
        built: buildVaeEncoder(
          configs.vae,
          vae.weights,
          graph,
          encoderVariant(configs.vae, variant),
        ),
        folder: vae.folder,
      };
    case "image_encoder":
      return {
        built: buildImageEncoder(configs.image_encoder, image_encoder.weights, variant),
        folder: image_encoder.folder,
      };
    default:
      return assertNever(graph);
  }
}

/** The reference encodes in float32 where the VAE's config says that its halves overflow. */
function encoderVariant({ force_upcast }: VaeConfig, variant: GraphVariant): GraphVariant {
  return force_upcast ? { ...variant, dtype: "float32" } : variant;
}
