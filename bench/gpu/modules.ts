/** @file Every graph of the small checkpoints on a device beside the processor's results. */
import { openInProcessRuntime } from "../../gpu-node/runtime/in-process-runtime.js";
import type { Provider } from "../../gpu-node/runtime/provider.js";
import type { GraphSpec } from "../../gpu-node/runtime/runtime.js";
import {
  COMPUTE_TYPES,
  type ComputeType,
  elementCount,
  type Tensor,
  tensor,
} from "../../shared/tensor/tensor.js";
import { SUBJECTS } from "../subjects.js";

/** Of the largest value: products with 10 bits of mantissa, and halves through some hundred layers. */
const DIFFERENCE_MAX: Readonly<Record<ComputeType, number>> = { float32: 5e-3, float16: 2e-2 };

interface Call {
  readonly graph: GraphSpec;
  readonly inputs: Readonly<Record<string, Tensor>>;
}

/** @returns whether every graph keeps within what its type allows */
export async function compareModules(provider: Provider): Promise<boolean> {
  process.stdout.write(
    "| checkpoint | graph | type | largest difference from cpu | limit |\n| --- | --- | --- | --- | --- |\n",
  );
  let isKept = true;
  for (const { name, checkpoint: checkpointDir, ...clip } of SUBJECTS) {
    const settings = { checkpointDir, intraOpThreads: 4 };
    const cpu = await openInProcessRuntime({ ...settings, provider: "cpu", dtype: "float32" });
    for (const dtype of COMPUTE_TYPES) {
      const device = await openInProcessRuntime({ ...settings, provider, dtype });
      for (const { graph, inputs } of callsOf(
        cpu.info.configs,
        cpu.info.model.vaeScaleFactor,
        clip,
      )) {
        const expected = await cpu.run(graph, inputs);
        const actual = await device.run(graph, inputs);
        const most = Math.max(
          ...Object.entries(expected).map(([port, { data }]) =>
            difference(actual[port]!.data, data),
          ),
        );
        const isWithin = most <= DIFFERENCE_MAX[dtype];
        isKept &&= isWithin;
        const limit = `${DIFFERENCE_MAX[dtype]} ${isWithin ? "ok" : "MISSED"}`;
        process.stdout.write(
          `| ${name} | ${graph.module} | ${dtype} | ${most.toExponential(1)} | ${limit} |\n`,
        );
      }
      await device.close();
    }
    await cpu.close();
  }
  return isKept;
}

function callsOf(
  configs: {
    readonly unet: {
      readonly in_channels: number;
      readonly cross_attention_dim: readonly number[];
    };
    readonly vae: { readonly latent_channels: number };
  },
  factor: number,
  {
    frames,
    height,
    width,
  }: { readonly frames: number; readonly height: number; readonly width: number },
): Call[] {
  const cells = { height: height / factor, width: width / factor };
  return [
    {
      graph: { module: "unet", frames, ...cells },
      inputs: {
        sample: wave(1, frames, configs.unet.in_channels, cells.height, cells.width),
        timestep: wave(1),
        encoder_hidden_states: wave(1, 1, configs.unet.cross_attention_dim.at(-1)!),
        added_time_ids: wave(1, 3),
      },
    },
    {
      graph: { module: "vae_decoder", frames: 2, ...cells },
      inputs: { z: wave(2, configs.vae.latent_channels, cells.height, cells.width) },
    },
    { graph: { module: "vae_encoder", height, width }, inputs: { x: wave(1, 3, height, width) } },
    { graph: { module: "image_encoder" }, inputs: { pixel_values: wave(1, 3, 224, 224) } },
  ];
}

export function wave(...shape: number[]): Tensor {
  const length = elementCount(shape);
  return tensor(
    shape,
    Float32Array.from({ length }, (_, i) => Math.sin(12.9898 * i)),
  );
}

/** Of the largest value of what is expected. */
function difference(actual: Float32Array, expected: Float32Array): number {
  let most = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    most = Math.max(most, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return most / largest;
}
