/** @file One call of every graph of a checkpoint, for a clip of some size: what benches run. */
import type { GraphSpec } from "../gpu-node/runtime/runtime.js";
import type { RuntimeInfo } from "../gpu-node/runtime/runtime-info.js";
import { elementCount, type Tensor, tensor } from "../shared/tensor/tensor.js";

export type Call = readonly [GraphSpec, Readonly<Record<string, Tensor>>];

/** Frames, and pixels. */
export interface CallSize {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  /** Frames decoded at a time. Default: all. */
  readonly chunk?: number;
}

/** The graphs of one checkpoint, each with inputs that fit it. */
export interface ModuleCalls {
  readonly image_encoder: Call;
  readonly vae_encoder: Call;
  readonly unet: Call;
  readonly vae_decoder: Call;
}

export function moduleCalls(
  { unet, vae, image_encoder }: RuntimeInfo["configs"],
  { frames, height, width, chunk = frames }: CallSize,
): ModuleCalls {
  const factor = 2 ** (vae.block_out_channels.length - 1);
  const cells = { height: height / factor, width: width / factor };
  const { height: h, width: w } = cells;
  const side = image_encoder.image_size;
  const ids = unet.projection_class_embeddings_input_dim / unet.addition_time_embed_dim;
  const conditions = {
    timestep: wave(1),
    encoder_hidden_states: wave(1, 1, image_encoder.projection_dim),
    added_time_ids: wave(1, ids),
  };
  return {
    image_encoder: [{ module: "image_encoder" }, { pixel_values: wave(1, 3, side, side) }],
    vae_encoder: [{ module: "vae_encoder", height, width }, { x: wave(1, 3, height, width) }],
    unet: [
      { module: "unet", frames, ...cells },
      { sample: wave(1, frames, unet.in_channels, h, w), ...conditions },
    ],
    vae_decoder: [
      { module: "vae_decoder", frames: chunk, ...cells },
      { z: wave(chunk, vae.latent_channels, h, w) },
    ],
  };
}

/** Values between -1 and 1 of which no two neighbours are alike. */
export function wave(...shape: number[]): Tensor {
  const length = elementCount(shape);
  return tensor(
    shape,
    Float32Array.from({ length }, (_, i) => Math.sin(12.9898 * i)),
  );
}
