/**
 * @file A node whose accelerator misbehaves, for fault tests: the real process of a node, with a fault
 * between its agent and its runtime child. RENDERFARM_TEST_FAULT says which:
 *
 *   slow:MS         every run of the UNet takes that much longer
 *   nan:COUNT       so many runs of the UNet are given a NaN, the first ones
 *   block:MS        before its third run of the UNet the agent's event loop stands still for that long
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type OpenedRuntime, superviseChild } from "../../gpu-node/agent/agent.js";
import { runNode } from "../../gpu-node/run-node.js";
import type { GraphSpec } from "../../gpu-node/runtime/runtime.js";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";

type Inputs = Readonly<Record<string, Tensor>>;

/** What happens to the inputs of the n-th run of the UNet, counted from 1. */
type Fault = (inputs: Inputs, run: number) => Promise<Inputs>;

const BLOCKED_RUN = 3;

const FAULTS: Readonly<Record<string, (value: number) => Fault>> = {
  slow: (ms) => async (inputs) => {
    await sleep(ms);
    return inputs;
  },
  nan: (count) => async (inputs, run) => (run <= count ? spoiled(inputs) : inputs),
  block: (ms) => async (inputs, run) => {
    const endMs = performance.now() + (run === BLOCKED_RUN ? ms : 0);
    while (performance.now() < endMs);
    return inputs;
  },
};

function spoiled(inputs: Inputs): Inputs {
  const sample = inputs["sample"]!;
  return { ...inputs, sample: tensor(sample.shape, sample.data.with(0, Number.NaN)) };
}

function readFault(): Fault {
  const [kind = "", value = ""] = (process.env["RENDERFARM_TEST_FAULT"] ?? "").split(":");
  const make = FAULTS[kind];
  if (!make || !/^\d+$/.test(value)) throw new Error(`RENDERFARM_TEST_FAULT: ${kind}:${value}`);
  return make(Number(value));
}

function misbehaving(runtime: OpenedRuntime, fault: Fault): OpenedRuntime {
  let runs = 0;
  return {
    info: runtime.info,
    run: async (graph: GraphSpec, inputs: Inputs) => {
      if (graph.module !== "unet") return runtime.run(graph, inputs);
      runs += 1;
      return runtime.run(graph, await fault(inputs, runs));
    },
    close: () => runtime.close(),
  };
}

const fault = readFault();
runNode(async (options) => misbehaving(await superviseChild(options), fault));
