/** @file The engine alone, in this process: seconds of a UNet half and of a decoded frame. */
import { addedTimeIds } from "../gpu-node/diffusion/time-ids.js";
import { createTorchGenerator } from "../gpu-node/diffusion/torch-generator.js";
import { openInProcessRuntime } from "../gpu-node/runtime/in-process-runtime.js";
import { elementCount, tensor } from "../shared/tensor/tensor.js";
import { median, timeRuns } from "./statistics.js";
import type { Subject } from "./subjects.js";

export interface EngineFigures {
  /** Median seconds of one half of one step. */
  readonly unetHalf: number;
  /** Median seconds of a chunk, divided by its frames. */
  readonly decodedFrame: number;
  /** Seconds from nothing to the end of the first half: open, build, load, run. */
  readonly coldStart: number;
}

const ROUNDS = 7;

export async function measureEngine(subject: Subject, threads: number): Promise<EngineFigures> {
  const startMs = performance.now();
  const { checkpoint: checkpointDir, frames } = subject;
  const runtime = await openInProcessRuntime({
    checkpointDir,
    provider: "cpu",
    intraOpThreads: threads,
  });
  try {
    const { model, configs } = runtime.info;
    const height = subject.height / model.vaeScaleFactor;
    const width = subject.width / model.vaeScaleFactor;
    const generator = createTorchGenerator(1);
    const noise = (...shape: number[]) => tensor(shape, generator.randn(elementCount(shape)));
    const timeIds = addedTimeIds({ fps: 7, motionBucketId: 127, noiseAugStrength: 0.02 });
    const unetInputs = {
      sample: noise(1, frames, configs.unet.in_channels, height, width),
      timestep: tensor([1], Float32Array.of(0.5)),
      encoder_hidden_states: noise(1, 1, configs.image_encoder.projection_dim),
      added_time_ids: tensor([1, timeIds.length], timeIds),
    };
    const runHalf = () => runtime.run({ module: "unet", frames, height, width }, unetInputs);
    await runHalf();
    const coldStart = (performance.now() - startMs) / 1000;
    const halves = await timeRuns(ROUNDS, runHalf);

    const latents = noise(frames, model.latentChannels, height, width);
    const chunks = await timeRuns(ROUNDS, () =>
      runtime.run({ module: "vae_decoder", frames, height, width }, { z: latents }),
    );
    return { unetHalf: median(halves), decodedFrame: median(chunks) / frames, coldStart };
  } finally {
    await runtime.close();
  }
}
