/**
 * @file The node process of `npm run bench -- farm`: a real agent whose runtime only waits.
 *
 * Tells its parent {kind: "ready"}, then {kind: "run", ...} for every run that begins or ends, with
 * the time of the clock that all processes of a machine share.
 */
import { parseArgs } from "node:util";
import pino from "pino";
import { type Agent, startAgent } from "../../gpu-node/agent/agent.js";
import { NODE_PREFERENCES } from "../../shared/farm/work.js";
import { monotonicMs } from "../farm/monotonic.js";
import { type SleepEvent, SleepingRuntime } from "./sleeping-runtime.js";

/** What a sleeping node says of one run. */
export interface RunMessage extends SleepEvent {
  readonly said: "run";
  /** `monotonicMs` of the machine. */
  readonly atMs: number;
}

const { values } = parseArgs({
  options: {
    coordinator: { type: "string" },
    "blob-dir": { type: "string" },
    "node-id": { type: "string" },
    "half-ms": { type: "string" },
    "chunk-ms": { type: "string" },
    "encoder-ms": { type: "string" },
    prefer: { type: "string" },
  },
});

const runtime = new SleepingRuntime(
  {
    halfMs: Number(values["half-ms"]),
    chunkMs: Number(values["chunk-ms"]),
    encoderMs: Number(values["encoder-ms"]),
  },
  (event) => {
    const message: RunMessage = { ...event, said: "run", atMs: monotonicMs() };
    process.send?.(message);
  },
);

const agent: Agent = await startAgent({
  settings: {
    coordinator: values.coordinator ?? "",
    checkpoint: "none",
    blobs: `file:${values["blob-dir"] ?? ""}`,
    nodeId: values["node-id"] ?? "",
    threads: 1,
    dtype: "auto",
    variant: "auto",
    bus: process.env["RENDERFARM_BUS"] || "tcp",
    busListen: "127.0.0.1:0",
    busAdvertise: null,
    tls: null,
    memoryBytes: null,
    offload: false,
    forwardChunkSize: null,
    prefers: NODE_PREFERENCES.find((known) => known === values.prefer) ?? "any",
    provider: "cpu",
    metrics: null,
    logLevel: "info",
  },
  version: "bench",
  log: pino({ timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true })),
  onBroken: () => process.exit(1),
  openRuntime: async () => runtime,
});
process.send?.({ kind: "ready" });

const leave = () => void agent.close().finally(() => process.exit(0));
process.once("SIGTERM", leave);
process.once("disconnect", leave);
