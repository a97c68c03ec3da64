import { expect, test } from "vitest";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { goldenPath } from "../../test/golden/read-golden.js";
import { openInProcessRuntime, SESSIONS_MAX } from "./in-process-runtime.js";
import { runtimePlanHash } from "./plan-hash.js";

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

test("the plan hash tells every difference between two nodes' runtimes", () => {
  const node = {
    ...{ modelDigest: "a", ortVersion: "1.30.0", provider: "cpu", device: "x", dtype: "float32" },
  };
  const others = Object.keys(node).map((field) => ({ ...node, [field]: "another" }));
  const hashes = [node, ...others].map(runtimePlanHash);
  expect(new Set(hashes).size).toBe(6);
  expect(runtimePlanHash({ ...node })).toBe(hashes[0]);
  expect(hashes[0]).toMatch(/^[0-9a-f]{64}$/);
});

test("a variant that the checkpoint does not have is refused by name", async () => {
  const opening = openInProcessRuntime({ ...settings, variant: "fp16" });
  await expect(opening).rejects.toMatchObject({
    code: "checkpoint-invalid",
    detail: expect.stringContaining("fp16"),
  });
});
