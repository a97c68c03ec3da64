import { expect, test } from "vitest";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { goldenPath } from "../../test/golden/read-golden.js";
import { openCheckpoint } from "../checkpoint/open-checkpoint.js";
import { buildVaeDecoder } from "../model/autoencoder-kl-temporal-decoder.js";
import { processBytes } from "../model/memory-plan.js";
import { buildUnet } from "../model/unet-spatio-temporal-condition.js";
import { openInProcessRuntime, SESSIONS_MAX } from "./in-process-runtime.js";
import { graphsDigest, runtimePlanHash } from "./plan-hash.js";
import { variantOf } from "./provider.js";
import { describeGraph, type GraphSpec } from "./runtime.js";
import type { RuntimeSettings } from "./runtime-info.js";

const settings = {
  checkpointDir: goldenPath("two-level/checkpoint"),
  provider: "cpu",
  intraOpThreads: 1,
} as const;

function wave(shape: readonly number[]): Tensor {
  const length = shape.reduce((a, b) => a * b, 1);
  return tensor(
    shape,
    Float32Array.from({ length }, (_, i) => Math.sin(i)),
  );
}

test("a graph that had to make room for others gives the same bytes again", async () => {
  const runtime = await openInProcessRuntime(settings);
  const widths = Array.from({ length: SESSIONS_MAX.vae_decoder + 1 }, (_, i) => 4 + i);
  const decode = async (width: number) => {
    const graph = { module: "vae_decoder", frames: 1, height: 4, width } as const;
    return (await runtime.run(graph, { z: wave([1, 4, 4, width]) }))["sample"]!;
  };
  const first = await Promise.all(widths.map(decode)); // all at once: they wait for each other
  const again = await Promise.all(widths.map(decode));
  expect(again).toEqual(first);
  expect(first.map(({ shape }) => shape[3])).toEqual(widths.map((width) => width * 2));
  await runtime.close();
});

test("a run that fails does not keep the next one waiting", async () => {
  const runtime = await openInProcessRuntime(settings);
  const graph = { module: "vae_decoder", frames: 1, height: 4, width: 4 } as const;
  const runs = [{}, { z: wave([1, 4, 4, 4]) }].map((inputs) => runtime.run(graph, inputs));
  await expect(runs[0]).rejects.toThrow("[graph-shape-mismatch] vae_decoder 1x4x4: z is missing");
  expect((await runs[1])!["sample"]!.shape).toEqual([1, 3, 8, 8]);
  await runtime.close();
});

/** One graph of each stage, in the order of a clip. */
const STAGES = [
  [{ module: "vae_encoder", height: 16, width: 16 }, { x: wave([1, 3, 16, 16]) }],
  [
    { module: "unet", frames: 1, height: 8, width: 8 },
    {
      sample: wave([1, 1, 8, 8, 8]),
      timestep: wave([1]),
      encoder_hidden_states: wave([1, 1, 32]),
      added_time_ids: wave([1, 3]),
    },
  ],
  [{ module: "vae_decoder", frames: 1, height: 8, width: 8 }, { z: wave([1, 4, 8, 8]) }],
] as const satisfies readonly (readonly [GraphSpec, Record<string, Tensor>])[];

async function runStages(options: Partial<RuntimeSettings>) {
  const runtime = await openInProcessRuntime({ ...settings, ...options });
  const outputs: unknown[] = [];
  const open: string[][] = [];
  for (const [graph, inputs] of [...STAGES, STAGES[0]]) {
    outputs.push(await runtime.run(graph, inputs));
    open.push(runtime.openGraphs());
  }
  await runtime.close();
  return { outputs, open, left: runtime.openGraphs() };
}

test("offload keeps the sessions of one stage open, and gives the same bytes", async () => {
  const [kept, offloaded] = [await runStages({}), await runStages({ offload: true })];
  const names = STAGES.map(([graph]) => describeGraph(graph));
  expect(kept.open.map(({ length }) => length)).toEqual([1, 2, 3, 3]);
  expect(offloaded.open).toEqual([...names, names[0]].map((name) => [name]));
  expect(offloaded.outputs).toEqual(kept.outputs);
  expect([kept.left, offloaded.left]).toEqual([[], []]);
});

test("where all stages together take too much memory, the others are closed first", async () => {
  const { components, configs } = await openCheckpoint(settings.checkpointDir);
  const unet = buildUnet(configs.unet, components.unet.weights, STAGES[1][0]);
  const { open } = await runStages({ memoryBytes: processBytes([unet]) });
  expect(open.map((names) => names.length)).toEqual([1, 1, 1, 2]);
});

test("what takes too much memory is refused before it is loaded, with a chunk that fits", async () => {
  const { components, configs } = await openCheckpoint(settings.checkpointDir);
  const three = { frames: 3, height: 32, width: 32 };
  const memoryBytes = processBytes([buildVaeDecoder(configs.vae, components.vae.weights, three)]);
  const runtime = await openInProcessRuntime({ ...settings, memoryBytes });
  const graph = { module: "vae_decoder", ...three, frames: 8 } as const;
  await expect(runtime.run(graph, { z: wave([8, 4, 32, 32]) })).rejects.toMatchObject({
    code: "out-of-memory",
    detail: expect.stringMatching(
      /vae_decoder 8x32x32 takes .* MiB and this node may use .* MiB; decode 3 at a time \(--decode-chunk-size 3\), or take a node with more memory/,
    ),
  });
  expect(runtime.openGraphs()).toEqual([]);
  await runtime.close();
});

test("feed-forward networks in chunks of frames give the same bytes", async () => {
  const whole = await runStages({});
  const { outputs } = await runStages({ forwardChunkSize: 1 });
  expect(outputs).toEqual(whole.outputs);
});

test("the plan hash tells every difference between two nodes' runtimes", () => {
  const node = {
    ...{
      modelDigest: "a",
      graphs: "g",
      ortVersion: "1.30.0",
      provider: "cpu",
      device: "x",
      dtype: "float32",
    },
  };
  const others = Object.keys(node).map((field) => ({ ...node, [field]: "another" }));
  const hashes = [node, ...others].map(runtimePlanHash);
  expect(new Set(hashes).size).toBe(7);
  expect(runtimePlanHash({ ...node })).toBe(hashes[0]);
  expect(hashes[0]).toMatch(/^[0-9a-f]{64}$/);
});

test("the digest of graphs is that of their forms: equal ones, and others for another provider", async () => {
  const { configs } = await openCheckpoint(settings.checkpointDir);
  const cpu = graphsDigest(configs, variantOf("cpu", "float32"));
  expect(graphsDigest(configs, variantOf("cpu", "float32"))).toBe(cpu);
  expect(graphsDigest(configs, variantOf("webgpu", "float32"))).not.toBe(cpu);
  // More frames than the digest's own clip has: its graphs are the same ones.
  expect(graphsDigest(configs, variantOf("cpu", "float32", 8))).not.toBe(cpu);
});

test("a variant that the checkpoint does not have is refused by name", async () => {
  const opening = openInProcessRuntime({ ...settings, variant: "fp16" });
  await expect(opening).rejects.toMatchObject({
    code: "checkpoint-invalid",
    detail: expect.stringContaining("fp16"),
  });
});
