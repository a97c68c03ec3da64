/** @file A runtime that waits where the real one computes, with answers of the right shapes. */
import { setTimeout as sleep } from "node:timers/promises";
import type { OpenedRuntime } from "../../gpu-node/agent/agent.js";
import { readFeatureExtractorConfig } from "../../gpu-node/model/configs/feature-extractor-config.js";
import { readImageEncoderConfig } from "../../gpu-node/model/configs/image-encoder-config.js";
import { readSchedulerConfig } from "../../gpu-node/model/configs/scheduler-config.js";
import { readUnetConfig } from "../../gpu-node/model/configs/unet-config.js";
import { readVaeConfig } from "../../gpu-node/model/configs/vae-config.js";
import type { GraphSpec } from "../../gpu-node/runtime/runtime.js";
import type { RuntimeInfo } from "../../gpu-node/runtime/runtime-info.js";
import type { ModelInfo } from "../../shared/farm/work.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";

/** How long each kind of run takes, in milliseconds. */
export interface SleepTimes {
  /** One half of one denoise step. */
  readonly halfMs: number;
  /** One decode chunk, whatever its length. */
  readonly chunkMs: number;
  /** The image encoder, and the VAE's encoder. */
  readonly encoderMs: number;
}

/** A run that has begun, and again once it has ended. */
export interface SleepEvent {
  readonly kind: "began" | "ended";
  readonly module: GraphSpec["module"];
  /** unet: the timestep, which names the step; else null. */
  readonly timestep: number | null;
}

/** Pixels of one latent cell, as SVD's. */
const VAE_SCALE = 8;
const LATENT_CHANNELS = 4;
/** Width of the picture's embedding; nothing here grows with it. */
const EMBEDDING = 32;

export const SLEEPING_MODEL: ModelInfo = {
  digest: "5".repeat(64),
  name: "sleeping",
  numFrames: 14,
  sampleSize: null,
  vaeScaleFactor: VAE_SCALE,
  latentChannels: LATENT_CHANNELS,
  numTrainTimesteps: 1_000,
  stepRule: "as-asked",
};

const picture = { height: 224, width: 224 };

/** Of no checkpoint: what the stages read is as in SVD's, the rest is the least that is legal. */
const INFO: RuntimeInfo = {
  model: SLEEPING_MODEL,
  dtype: "float32",
  structure: null,
  graphs: "none",
  ortVersion: "none",
  configs: {
    unet: readUnetConfig({
      _class_name: "UNetSpatioTemporalConditionModel",
      cross_attention_dim: EMBEDDING,
      in_channels: 2 * LATENT_CHANNELS,
      out_channels: LATENT_CHANNELS,
      num_frames: SLEEPING_MODEL.numFrames,
    }),
    vae: readVaeConfig({
      _class_name: "AutoencoderKLTemporalDecoder",
      block_out_channels: [32, 32, 32, 32],
      down_block_types: Array<string>(4).fill("DownEncoderBlock2D"),
      latent_channels: LATENT_CHANNELS,
    }),
    image_encoder: readImageEncoderConfig({ projection_dim: EMBEDDING }),
    scheduler: readSchedulerConfig({
      _class_name: "EulerDiscreteScheduler",
      prediction_type: "v_prediction",
      timestep_type: "continuous",
      use_karras_sigmas: true,
      sigma_min: 0.002,
      sigma_max: 700,
    }),
    feature_extractor: readFeatureExtractorConfig({
      image_mean: 0.5,
      image_std: 0.25,
      size: picture,
      crop_size: picture,
    }),
  },
};

/** Runs wait for each other, as they do on an accelerator. */
export class SleepingRuntime implements OpenedRuntime {
  readonly info = INFO;
  readonly #times: SleepTimes;
  readonly #onEvent: (event: SleepEvent) => void;
  #last: Promise<unknown> = Promise.resolve();

  constructor(times: SleepTimes, onEvent: (event: SleepEvent) => void) {
    this.#times = times;
    this.#onEvent = onEvent;
  }

  async run(
    graph: GraphSpec,
    inputs: Readonly<Record<string, Tensor>>,
  ): Promise<Record<string, Tensor>> {
    const slept = this.#last.then(() => this.#sleep(graph, inputs));
    this.#last = slept;
    return slept;
  }

  async close(): Promise<void> {}

  /** Ends when the answer is there, as a real run does. */
  async #sleep(
    graph: GraphSpec,
    inputs: Readonly<Record<string, Tensor>>,
  ): Promise<Record<string, Tensor>> {
    const { module } = graph;
    const timestep = inputs["timestep"]?.data[0] ?? null;
    this.#onEvent({ kind: "began", module, timestep });
    const ms = this.#msOf(graph);
    if (ms > 0) await sleep(ms);
    const answered = answer(graph, inputs);
    this.#onEvent({ kind: "ended", module, timestep });
    return answered;
  }

  #msOf({ module }: GraphSpec): number {
    const { halfMs, chunkMs, encoderMs } = this.#times;
    switch (module) {
      case "unet":
        return halfMs;
      case "vae_decoder":
        return chunkMs;
      case "vae_encoder":
      case "image_encoder":
        return encoderMs;
    }
  }
}

/** Equal inputs give equal answers on every node, as a pair needs it. */
function answer(
  graph: GraphSpec,
  inputs: Readonly<Record<string, Tensor>>,
): Record<string, Tensor> {
  switch (graph.module) {
    case "unet": {
      const { frames, height, width } = graph;
      const value = Math.tanh(inputs["sample"]!.data[0]!);
      return { out_sample: constant([1, frames, LATENT_CHANNELS, height, width], value) };
    }
    case "vae_decoder": {
      const { frames, height, width } = graph;
      return { sample: constant([frames, 3, height * VAE_SCALE, width * VAE_SCALE], 0) };
    }
    case "vae_encoder": {
      const { height, width } = graph;
      return {
        mode: constant([1, LATENT_CHANNELS, height / VAE_SCALE, width / VAE_SCALE], 0.5),
      };
    }
    case "image_encoder":
      return { image_embeds: constant([1, EMBEDDING], 0.5) };
  }
}

function constant(shape: readonly number[], value: number): Tensor {
  return tensor(shape, new Float32Array(elementCount(shape)).fill(value));
}
