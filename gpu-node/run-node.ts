/**
 * @file What the process of a node does from its start to its end.
 *
 * Started with an IPC channel it tells its parent {kind: "ready"} or {kind: "failed", code, detail},
 * and stops when the parent goes away. Nothing goes to stdout; logs go to stderr.
 *
 * SIGTERM and SIGINT stop it in good order: its work ends or is given back, 30 s at most. A second
 * one ends it at once.
 */
import { createRequire } from "node:module";
import type pino from "pino";
import { LoopWatch } from "../shared/adapters/clock/loop-watch.js";
import { systemClock } from "../shared/adapters/clock/system-clock.js";
import { packageVersion } from "../shared/adapters/files/package-version.js";
import { farmLog } from "../shared/adapters/logs/farm-log.js";
import { openMetrics } from "../shared/adapters/metrics/open-metrics.js";
import { openTracer } from "../shared/adapters/tracing/job-tracer.js";
import { asFarmError, type FarmErrorCode } from "../shared/core/errors.js";
import { type Agent, type AgentOptions, openNodeTls, startAgent } from "./agent/agent.js";
import { type NodeSettings, readSettings, USAGE } from "./agent/settings.js";

/** What the person who started the process has to put right. */
const BAD_SETTINGS: ReadonlySet<FarmErrorCode> = new Set([
  "invalid-argument",
  "checkpoint-invalid",
  "tool-failed",
]);

/**
 * Reads the settings from the command line and the environment, and ends the process where they
 * cannot work.
 *
 * @param openRuntime in place of the runtime child; for tests of faults
 */
export function runNode(openRuntime?: AgentOptions["openRuntime"]): void {
  main(openRuntime).catch(endBeforeReady);
}

async function main(openRuntime: AgentOptions["openRuntime"]): Promise<void> {
  const settings = readSettings(process.argv.slice(2), process.env);
  if (!settings) {
    process.stderr.write(USAGE);
    process.exit(0);
  }
  const log = logTo(settings);
  const version = packageVersion();
  const service = { name: "renderfarm-gpu-node", version, instance: settings.nodeId };
  const tracer = await openTracer(service, process.env);
  let agent: Agent | null = null;
  let stopping = false;
  const stop = (reason: string, putAway: (agent: Agent) => Promise<void>): void => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ reason }, "stopping");
    // Before it is ready there is nothing to put away: the child ends with this process.
    if (!agent) process.exit(0);
    putAway(agent).then(
      () => process.exit(0),
      (error: unknown) => breakDown(log, error),
    );
  };
  const inOrder = async (ready: Agent): Promise<void> => {
    await ready.drain();
    await ready.close();
    await tracer?.close();
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => stop(signal, inOrder));
  }
  // The farm that this node was started for is gone, its coordinator too.
  process.once("disconnect", () => stop("the parent process went away", (ready) => ready.close()));

  const onBroken = (error: unknown) => breakDown(log, error);
  const tls = openNodeTls(settings, log);
  const pace = new LoopWatch(systemClock);
  pace.start();
  const metrics = await openMetrics(settings.metrics, {
    ...{ version, tls },
    ortVersion: engineVersion(),
    checks: () => ({
      pace: pace.whyBehind(),
      model: agent ? null : "opening the checkpoint",
      coordinator: agent ? agent.whyNotReady() : "not dialled yet",
    }),
    config: settings,
  });
  agent = await startAgent({
    tracer,
    ...(openRuntime && { openRuntime }),
    ...{ settings, version, log, onBroken, tls },
    registry: metrics?.registry ?? null,
    ...(metrics && { onCertificate: metrics.onCertificate }),
  });
  log.info({ metrics: metrics?.address ?? null }, "serving");
  process.send?.({
    kind: "ready",
    nodeId: settings.nodeId,
    metrics: metrics?.address ?? null,
  });
}

/** Of onnxruntime, which this process itself never loads. */
function engineVersion(): string {
  const load = createRequire(import.meta.url);
  return (load("onnxruntime-node/package.json") as { version: string }).version;
}

function logTo(settings: NodeSettings): pino.Logger {
  const { nodeId, logLevel: level } = settings;
  return farmLog({ name: "gpu-node", level, base: { node_id: nodeId } });
}

function breakDown(log: pino.Logger, error: unknown): never {
  const { code, detail } = asFarmError(error);
  log.fatal({ code, detail }, "the node breaks down");
  process.exit(1);
}

function endBeforeReady(error: unknown): void {
  const { code, detail, violations } = asFarmError(error);
  const lines = violations.map(({ field, description }) => `\n  ${field} ${description}`);
  const text = lines.length > 0 ? lines.join("") : detail;
  process.stderr.write(`gpu-node cannot start: ${text}\n`);
  const leave = () => process.exit(BAD_SETTINGS.has(code) ? 2 : 1);
  if (process.send) process.send({ kind: "failed", code, detail }, leave);
  else leave();
}
