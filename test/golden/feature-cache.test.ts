/** @file The two graphs of feature caching: cut apart and put together they are the whole UNet. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type InProcessRuntime,
  openInProcessRuntime,
} from "../../gpu-node/runtime/in-process-runtime.js";
import type { GraphSpec } from "../../gpu-node/runtime/runtime.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { goldenPath, goldenTensor, maxRelativeDifference, readGolden } from "./read-golden.js";

/** Room for rounding: the engine fuses other neighbours where a graph is cut. */
const TOLERANCE = 2e-5;

describe.each(["two-level", "three-level", "every-field"])("%s", (name) => {
  const golden = readGolden(`${name}/modules.safetensors`);
  const first = (key: string): Tensor => {
    const { shape, data } = goldenTensor(golden, key);
    const rest = shape.slice(1);
    return tensor([1, ...rest], data.slice(0, elementCount(rest)));
  };
  const [, frames, , height, width] = goldenTensor(golden, "unet.sample").shape as number[];
  const graph = { module: "unet", frames: frames!, height: height!, width: width! } as const;
  const inputs = {
    sample: first("unet.sample"),
    timestep: goldenTensor(golden, "unet.timestep"),
    encoder_hidden_states: first("unet.encoder_hidden_states"),
    added_time_ids: first("unet.added_time_ids"),
  };
  let runtime: InProcessRuntime;
  beforeAll(async () => {
    const checkpointDir = goldenPath(`${name}/checkpoint`);
    runtime = await openInProcessRuntime({ checkpointDir, provider: "cpu", intraOpThreads: 1 });
  });
  afterAll(() => runtime.close());

  test("a whole step gives the reference's answer, and features that give it again", async () => {
    const expected = first("unet.out").data;
    const whole = await runtime.run({ ...graph, features: "keep" }, inputs);
    expect(maxRelativeDifference(whole["out_sample"]!.data, expected)).toBeLessThan(TOLERANCE);
    const { inner_features } = whole;
    const reuse: GraphSpec = { ...graph, features: "reuse" };
    const outer = await runtime.run(reuse, { ...inputs, inner_features: inner_features! });
    expect(maxRelativeDifference(outer["out_sample"]!.data, expected)).toBeLessThan(TOLERANCE);
  });

  test("features of other latents give another answer: they are what is read", async () => {
    const { shape, data } = inputs.sample;
    const sample = tensor(
      shape,
      data.map((value) => -value),
    );
    const other = await runtime.run({ ...graph, features: "keep" }, { ...inputs, sample });
    const mixed = await runtime.run(
      { ...graph, features: "reuse" },
      { ...inputs, inner_features: other["inner_features"]! },
    );
    const expected = first("unet.out").data;
    expect(maxRelativeDifference(mixed["out_sample"]!.data, expected)).toBeGreaterThan(TOLERANCE);
  });
});
