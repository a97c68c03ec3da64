/** @file One small call of each module of the demo checkpoint: what providers are compared by. */
import type { GraphSpec } from "../../gpu-node/runtime/runtime.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";

/** Halves have 11 bits, and some hundred roundings follow each other. */
export const FLOAT16_TOLERANCE = 2e-2;

function wave(...shape: number[]): Tensor {
  return tensor(
    shape,
    Float32Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(i)),
  );
}

interface Call {
  readonly graph: GraphSpec;
  readonly inputs: Readonly<Record<string, Tensor>>;
}

export const CALLS: readonly Call[] = [
  {
    graph: { module: "unet", frames: 2, height: 8, width: 8 },
    inputs: {
      sample: wave(1, 2, 8, 8, 8),
      timestep: wave(1),
      encoder_hidden_states: wave(1, 1, 32),
      added_time_ids: wave(1, 3),
    },
  },
  {
    graph: { module: "vae_encoder", height: 16, width: 16 },
    inputs: { x: wave(1, 3, 16, 16) },
  },
  {
    graph: { module: "vae_decoder", frames: 2, height: 8, width: 8 },
    inputs: { z: wave(2, 4, 8, 8) },
  },
  { graph: { module: "image_encoder" }, inputs: { pixel_values: wave(1, 3, 224, 224) } },
];
