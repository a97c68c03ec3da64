/** @file Previews of the demo checkpoint against what its decoder makes of the same latents. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { previewStrip } from "../../gpu-node/diffusion/preview-strip.js";
import {
  type InProcessRuntime,
  openInProcessRuntime,
} from "../../gpu-node/runtime/in-process-runtime.js";
import { describeGraph, type Runtime } from "../../gpu-node/runtime/runtime.js";
import { conditionClip } from "../../gpu-node/stages/condition.js";
import { decodeChunk } from "../../gpu-node/stages/decode.js";
import { createReplica } from "../../gpu-node/stages/denoise-maths.js";
import { decodePicture } from "../../gpu-node/stages/picture.js";
import { previewColours } from "../../gpu-node/stages/preview-colours.js";
import { FarmError } from "../../shared/core/errors.js";
import type { ClipParameters } from "../../shared/farm/parameters.js";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";

const CHECKPOINT = join(import.meta.dirname, "../../checkpoints/demo");
const parameters: ClipParameters = {
  ...{ height: 64, width: 64, numFrames: 14, numInferenceSteps: 3, sigmas: null },
  ...{ minGuidanceScale: 1, maxGuidanceScale: 1.5, fps: 7, motionBucketId: 127 },
  ...{ guidance: { kind: "linear" as const }, fit: "stretch" as const },
  ...{ noiseAugStrength: 0.02, decodeChunkSize: 14, cacheInterval: 1 },
};
/** Of 8 frames shown of 14, as `previewStrip` picks them. */
const SHOWN = Array.from({ length: 8 }, (_, i) => Math.round((i * 13) / 7));

let runtime: InProcessRuntime;
beforeAll(async () => {
  const settings = { checkpointDir: CHECKPOINT, provider: "cpu", intraOpThreads: 1 } as const;
  runtime = await openInProcessRuntime({ ...settings, variant: "auto" });
});
afterAll(() => runtime.close());

interface Shown {
  readonly step: number;
  /** Channel values 0..1 of the preview, and of the decoded frames averaged over each cell. */
  readonly preview: readonly number[];
  readonly decoded: readonly number[];
}

/** Denoises a sample scene; at every step the preview and the decoder's own word. */
async function watchClip(sample: string, map: Tensor): Promise<Shown[]> {
  const signal = new AbortController().signal;
  const { configs } = runtime.info;
  const context = { runtime, configs, signal };
  const file = readFileSync(join(CHECKPOINT, "samples", sample));
  const noise = { seeds: [7n], imageCount: 1, clipCount: 1, clipIndex: 0, imageIndex: 0 };
  const picture = await decodePicture(file, sample);
  const source = { picture, parameters, noise, latents: null };
  const replica = createReplica(
    await conditionClip(source, context),
    parameters,
    configs.scheduler,
  );
  const shown: Shown[] = [];
  while (replica.step < replica.stepCount) {
    const before = replica.latents;
    const halves: Tensor[] = [];
    for (const half of replica.halves) {
      halves.push((await runtime.run(replica.graph, replica.unetInputs(half)))["out_sample"]!);
    }
    replica.apply(halves[0]!, halves[1]!);
    const { step, table, latents: after } = replica;
    const [sigma, sigmaNext] = [table.sigmas[step - 1]!, table.sigmas[step]!];
    const strip = previewStrip({ before, after, sigma, sigmaNext }, map);
    const gain = sigma / (sigmaNext - sigma);
    const x0 = before.data.map((x, i) => x - gain * (after.data[i]! - x));
    const frames = await decodeChunk(tensor(before.shape, x0), context);
    const decoded = SHOWN.map((frame) => cellMeans(frames, frame, 4));
    const preview = SHOWN.map((_, column) => frameOf(strip, column, 16));
    shown.push({ step, preview: preview.flat(), decoded: decoded.flat() });
  }
  return shown;
}

/** [h, w, 3] of one frame [F, H, W, 3], averaged over cells of `side` pixels. */
function cellMeans({ shape, data }: Tensor, frame: number, side: number): number[] {
  const [, height, width] = shape as [number, number, number];
  const means = new Array<number>((height / side) * (width / side) * 3).fill(0);
  for (let i = 0; i < height * width * 3; i++) {
    const [y, x] = [Math.floor(i / (width * 3)), Math.floor(i / 3) % width];
    const cell = Math.floor(y / side) * (width / side) + Math.floor(x / side);
    means[cell * 3 + (i % 3)]! += data[frame * height * width * 3 + i]! / (side * side);
  }
  return means;
}

function frameOf(
  { width, data }: ReturnType<typeof previewStrip>,
  column: number,
  side: number,
): number[] {
  const rows = Array.from({ length: side }, (_, y) => {
    const at = (y * width + column * side) * 3;
    return [...data.subarray(at, at + side * 3)];
  });
  return rows.flat().map((value) => value / 255);
}

/** Root of the mean square of the differences; colours are 0..1. */
function error({ preview, decoded }: Shown): number {
  const squares = preview.map((value, i) => (value - decoded[i]!) ** 2);
  return Math.sqrt(squares.reduce((a, b) => a + b, 0) / squares.length);
}

function correlation({ preview, decoded }: Shown): number {
  const centred = (values: readonly number[]) => {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return values.map((value) => value - mean);
  };
  const [a, b] = [centred(preview), centred(decoded)];
  const dot = (p: number[], q: number[]) => p.reduce((sum, value, i) => sum + value * q[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

const map = () => previewColours({ runtime, configs: runtime.info.configs });

test("every shown step has about the colours that the decoder gives the same latents", async () => {
  const shown = await watchClip("scene1.png", await map());
  expect(shown.map(({ step }) => step)).toEqual([1, 2, 3]);
  for (const each of shown) {
    expect(correlation(each)).toBeGreaterThan(0.85);
    expect(error(each)).toBeLessThan(0.1);
  }
  // The bounds tell a map that is wrong: one that takes the first channel for the second.
  const { shape, data } = await map();
  const exchanged = [...data.slice(3, 6), ...data.slice(0, 3), ...data.slice(6)];
  const [wrong] = await watchClip("scene1.png", tensor(shape, Float32Array.from(exchanged)));
  expect(correlation(wrong!)).toBeLessThan(0.7);
});

test("one chart is encoded and decoded for all clips of a runtime", async () => {
  const runs: string[] = [];
  const watched: Runtime = {
    run(graph, inputs) {
      runs.push(describeGraph(graph));
      return runtime.run(graph, inputs);
    },
    close: async () => {},
  };
  const { configs } = runtime.info;
  const [first, second] = [
    await previewColours({ runtime: watched, configs }),
    await previewColours({ runtime: watched, configs }),
  ];
  expect(runs).toEqual(["vae_encoder 128x128", "vae_decoder 1x32x32"]);
  expect(second.data).toEqual(first.data);
  expect((await map()).data).toEqual(first.data);
});

test("a chart that could not be decoded is tried again by the next clip", async () => {
  let isBroken = true;
  const flaky: Runtime = {
    run: async (graph, inputs) => {
      if (isBroken) throw new FarmError("device-lost", "the accelerator went away");
      return runtime.run(graph, inputs);
    },
    close: async () => {},
  };
  const { configs } = runtime.info;
  await expect(previewColours({ runtime: flaky, configs })).rejects.toThrow("went away");
  isBroken = false;
  expect((await previewColours({ runtime: flaky, configs })).data).toEqual((await map()).data);
});
