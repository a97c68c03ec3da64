/**
 * @file Entry point of the runtime child: the one process of a node that owns onnxruntime.
 *
 * A run blocks its thread until it is done and a native abort ends the process; neither may happen
 * to the agent, which has to keep its leases. Started by child-runtime.ts, ends with its parent.
 */
import { Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { assert } from "../../shared/core/assert.js";
import { asFarmError } from "../../shared/core/errors.js";
import { type FromChild, STREAM_FD, type ToChild, toWireError } from "./child-protocol.js";
import { createFrameReader, type Tensors, writeFrame } from "./frame-stream.js";
import { openInProcessRuntime } from "./in-process-runtime.js";
import type { Runtime } from "./runtime.js";
import type { RuntimeSettings } from "./runtime-info.js";

/** How soon an orphan that is in the middle of a run ends. */
const ORPHAN_CHECK_MS = 500;

let runtime: Runtime | null = null;
let last: Promise<void> = Promise.resolve();

const parent = new Socket({ fd: STREAM_FD });
parent.on("data", createFrameReader(receive));
parent.on("error", () => process.exit(0));
parent.on("end", () => process.exit(0));
// Ctrl-C reaches every process of a terminal; the agent decides when a run may end.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});

/** In order, and each answer has left before the next run blocks this thread. */
function receive(frame: object, inputs: Tensors): void {
  const message = frame as ToChild;
  if (message.kind === "open") watchParent(message.parentPid);
  last = last.then(() => (message.kind === "open" ? open(message.settings) : run(message, inputs)));
}

async function open(settings: RuntimeSettings): Promise<void> {
  try {
    const opened = await openInProcessRuntime(settings);
    runtime = opened;
    await send({ kind: "ready", info: opened.info });
  } catch (error) {
    await send({ kind: "refused", error: toWireError(asFarmError(error, "runtime-failed")) });
  }
}

async function run({ id, graph }: ToChild & { kind: "run" }, inputs: Tensors): Promise<void> {
  try {
    assert(runtime !== null, "no run before the runtime is ready");
    const outputs = await runtime.run(graph, inputs);
    await send({ kind: "done", id }, outputs);
  } catch (error) {
    await send({ kind: "failed", id, error: toWireError(asFarmError(error, "runtime-failed")) });
  }
}

function send(message: FromChild, tensors: Tensors = {}): Promise<void> {
  return writeFrame(parent, message, tensors);
}

/**
 * The stream's end is seen only after a run, which can take minutes and holds the GPU's memory; a
 * second thread sees at once that this process was given another parent.
 */
function watchParent(parentPid: number): void {
  const watch = `
    const { workerData } = require("node:worker_threads");
    setInterval(() => {
      if (process.ppid !== workerData.parentPid) process.kill(process.pid, "SIGKILL");
    }, workerData.intervalMs);`;
  const workerData = { parentPid, intervalMs: ORPHAN_CHECK_MS };
  new Worker(watch, { eval: true, workerData, execArgv: [] }).unref();
}
