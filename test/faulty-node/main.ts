/**
 * @file A node whose accelerator misbehaves, for fault tests: the real agent and the real runtime
 * child, with a fault between them. RENDERFARM_TEST_FAULT says which:
 *
 *   slow:MS         every run of the UNet takes that much longer
 *   nan:COUNT       so many runs of the UNet are given a NaN, the first ones
 *   block:MS        before its third run of the UNet the agent's event loop stands still for that long
 */
import { setTimeout as sleep } from "node:timers/promises";
import pino from "pino";
import { type OpenedRuntime, startAgent, superviseChild } from "../../gpu-node/agent/agent.js";
import { readSettings } from "../../gpu-node/agent/settings.js";
import type { GraphSpec } from "../../gpu-node/runtime/runtime.js";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";

type Inputs = Readonly<Record<string, Tensor>>;

const BLOCKED_RUN = 3;

/** What happens to the inputs of the n-th run of the UNet, counted from 1. */
type Fault = (inputs: Inputs, run: number) => Promise<Inputs>;

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
const settings = readSettings(process.argv.slice(2), process.env);
if (!settings) throw new Error("a faulty node has no help");
const agent = await startAgent({
  settings,
  version: "test",
  log: pino({ timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true })),
  onBroken: () => process.exit(1),
  openRuntime: async (options) => misbehaving(await superviseChild(options), fault),
});
process.send?.({ kind: "ready", nodeId: settings.nodeId, metrics: null });
const leave = () => void agent.close().finally(() => process.exit(0));
process.once("SIGTERM", leave);
process.once("disconnect", leave);
