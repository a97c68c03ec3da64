/** @file A runtime in this very process: builds a graph when it is first asked for, and keeps it. */
import { env } from "onnxruntime-node";
import { assertNever } from "../../shared/core/assert.js";
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import type { Tensor } from "../../shared/tensor/tensor.js";
import type { ComponentWeights } from "../checkpoint/component-weights.js";
import { describeCheckpoint } from "../checkpoint/describe-checkpoint.js";
import { digestCheckpoint } from "../checkpoint/digest-checkpoint.js";
import { type Checkpoint, openCheckpoint } from "../checkpoint/open-checkpoint.js";
import { buildVaeDecoder, buildVaeEncoder } from "../model/autoencoder-kl-temporal-decoder.js";
import { buildImageEncoder } from "../model/clip-vision.js";
import type { BuiltGraph } from "../model/graph.js";
import { buildUnet } from "../model/unet-spatio-temporal-condition.js";
import { describeGraph, type GraphSpec, type Runtime } from "./runtime.js";
import type { RuntimeInfo, RuntimeSettings } from "./runtime-info.js";
import { openSession, type Session } from "./session.js";

export interface InProcessRuntime extends Runtime {
  readonly info: RuntimeInfo;
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
  const { digest } = await digestCheckpoint(checkpoint);
  const info: RuntimeInfo = {
    model: describeCheckpoint(checkpoint, digest),
    configs: checkpoint.configs,
    ortVersion: env.versions.node ?? "unknown",
  };
  /** By module, then by graph, the least recently used first. */
  const sessions = new Map<GraphSpec["module"], Map<string, Session>>();
  let last: Promise<unknown> = Promise.resolve();

  const sessionFor = async (graph: GraphSpec): Promise<Session> => {
    const { module } = graph;
    const kept = sessions.get(module) ?? new Map<string, Session>();
    sessions.set(module, kept);

    const key = describeGraph(graph);
    let session = kept.get(key);
    if (session === undefined) {
      const [oldest] = kept;
      if (oldest !== undefined && kept.size === SESSIONS_MAX[module]) {
        kept.delete(oldest[0]);
        await oldest[1].close();
      }
      session = await openGraph(checkpoint, graph, settings);
    }
    kept.delete(key);
    kept.set(key, session);
    return session;
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
    run: (graph, inputs) => inTurn(() => runNow(graph, inputs)),
    close: () =>
      inTurn(async () => {
        const open = [...sessions.values()].flatMap((kept) => [...kept.values()]);
        sessions.clear();
        for (const session of open) await session.close();
      }),
  };
}

function openGraph(
  checkpoint: Checkpoint,
  graph: GraphSpec,
  settings: RuntimeSettings,
): Promise<Session> {
  const { unet, vae, image_encoder } = checkpoint.components;
  const { configs } = checkpoint;
  const open = (built: BuiltGraph, { folder }: ComponentWeights) =>
    openSession(built, folder, settings);
  switch (graph.module) {
    case "unet":
      return open(buildUnet(configs.unet, unet.weights, graph), unet);
    case "vae_decoder":
      return open(buildVaeDecoder(configs.vae, vae.weights, graph), vae);
    case "vae_encoder":
      return open(buildVaeEncoder(configs.vae, vae.weights, graph), vae);
    case "image_encoder":
      return open(buildImageEncoder(configs.image_encoder, image_encoder.weights), image_encoder);
    default:
      return assertNever(graph);
  }
}
