/** @file The agent of a node put together: runtime, blob store, tensor bus, tasks, and the stream. */
import { randomBytes } from "node:crypto";
import { arch, cpus, totalmem } from "node:os";
import type { Logger } from "pino";
import type { Registry } from "prom-client";
import { systemClock } from "../../shared/adapters/clock/system-clock.js";
import type { NodeIdentity } from "../../shared/adapters/grpc/node-codec.js";
import { openBlobStore } from "../../shared/adapters/open-blob-store.js";
import { TlsFiles } from "../../shared/adapters/tls/tls-files.js";
import type { FollowOptions } from "../../shared/adapters/tls/used-certificate.js";
import type { JobTracer } from "../../shared/adapters/tracing/job-tracer.js";
import { assertNever } from "../../shared/core/assert.js";
import { FarmError } from "../../shared/core/errors.js";
import { idFromBytes } from "../../shared/core/ids.js";
import { chooseProvider, providerSurroundings } from "../runtime/choose-provider.js";
import { runtimePlanHash } from "../runtime/plan-hash.js";
import type { Provider } from "../runtime/provider.js";
import type { Runtime } from "../runtime/runtime.js";
import type { RuntimeInfo } from "../runtime/runtime-info.js";
import { findFfmpeg } from "../stages/media/find-ffmpeg.js";
import { drain } from "./drain.js";
import { nodeMeters } from "./measured.js";
import { usableMemory } from "./memory.js";
import { NodeLink, type TaskOrder } from "./node-link.js";
import { bothNodeObservers, type NodeObserver } from "./node-observer.js";
import { type OpenedBus, openBus } from "./open-bus.js";
import type { NodeSettings } from "./settings.js";
import { StepLog } from "./step-log.js";
import { SupervisedRuntime } from "./supervised-runtime.js";
import { TaskLog } from "./task-log.js";
import { TaskRunner, type TaskRunnerParts } from "./task-runner.js";
import { NodeTraces } from "./traces.js";

export interface AgentOptions {
  readonly settings: NodeSettings;
  /** Version of renderfarm, for the sidecars of clips. */
  readonly version: string;
  readonly log: Logger;
  /** The runtime cannot be brought back: the process should end, so that it is started anew. */
  readonly onBroken: (reason: FarmError) => void;
  /** The node's certificate, where it is open already. */
  readonly tls?: TlsFiles | null;
  /** Where the node's metrics go; null or absent: nothing is measured. */
  readonly registry?: Registry | null;
  /** Hears of the certificates by which NATS and S3 are reached. */
  readonly onCertificate?: FollowOptions["onCertificate"];
  /** Null or absent: nothing is traced. */
  readonly tracer?: JobTracer | null;
  /** The runtime child was started again. */
  readonly onRestart?: () => void;
  /** Default: the runtime child, with the checkpoint of the settings. */
  readonly openRuntime?: (
    options: AgentOptions & { readonly provider: Provider },
  ) => Promise<OpenedRuntime>;
}

/** A runtime and what it says of its checkpoint. */
export interface OpenedRuntime extends Runtime {
  readonly info: RuntimeInfo;
}

export interface Agent {
  /** Why it cannot work now; null when it can. */
  whyNotReady(): string | null;
  /** Takes no more work and waits until what there is has ended or was given back, 27 s at most. */
  drain(): Promise<void>;
  /** Stops what there is, and frees everything. */
  close(): Promise<void>;
}

/** After a cancel, how long files and sockets may take to be put away. */
const CLOSE_MS_MAX = 3_000;

/**
 * Opens the checkpoint in the runtime child, then dials the coordinator.
 *
 * @throws FarmError "invalid-argument" or "checkpoint-invalid" when the settings cannot work, and
 *   what the start of the child throws
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { settings, version, log, openRuntime = superviseChild } = options;
  const clock = systemClock;
  const tls = options.tls ?? openNodeTls(settings, log);
  const provider = chooseProvider(settings.provider, providerSurroundings());
  const meters = nodeMeters(options.registry ?? null, { ...settings, provider }, clock);
  const traces = options.tracer ? new NodeTraces(options.tracer, settings.nodeId, Date.now) : null;
  const observer = observerOf(meters.observer, traces, log);
  const taskLog = new TaskLog(log);
  const { onCertificate = () => {} } = options;
  const watching = { clock, wallMs: Date.now, log, onCertificate };
  const store = await openBlobStore(settings.blobs, {
    ...{ env: process.env, log, role: "uses", watching },
  });
  const blobs = meters.blobs(store, settings.blobs.startsWith("s3:") ? "s3" : "files");
  const ffmpeg = await findFfmpeg();
  const startMs = clock.nowMs();
  const opened = await openRuntime({
    ...options,
    provider,
    onRestart: () => observer.runtimeRestarted(),
  });
  const { model, configs, dtype, structure } = opened.info;
  observer.modelLoaded(model.name, (clock.nowMs() - startMs) / 1_000);
  const runtime = meters.runtime(opened);
  const bus = await openBus(settings, {
    ...{ env: process.env, ...watching, tls },
    onRefused: (what) => log.warn({ what }, "the tensor bus did not take what came"),
  });
  const identity = identityOf({ ...settings, provider }, opened.info, bus, ffmpeg !== null);
  const { planHash } = identity;
  const runner = new TaskRunner({
    ...{ runtime, blobs, clock, configs, dtype, planHash, ffmpeg, version, observer },
    bus: meters.bus(bus, settings.bus === "tcp" ? "socket" : "nats"),
    traceparentOf: (taskId) => traces?.traceparentOf(taskId) ?? null,
    holdsLease: () => link.holdsLease(),
    report: (taskId, epoch, report) => {
      observer.reported(taskId, report);
      taskLog.report(taskId, epoch, report);
      link.report(taskId, epoch, report);
    },
    ...troublesTo(observer, taskLog, log),
    onPreview: (taskId, epoch, step, image) => link.preview(taskId, epoch, step, image),
  });
  const link: NodeLink = new NodeLink({
    addresses: settings.coordinator.split(","),
    identity,
    clock,
    tls,
    random: Math.random,
    onUp: () => {
      observer.linked(true);
      log.info({ coordinator: settings.coordinator }, "welcomed by the coordinator");
    },
    onDown: (reason, wasUp) => {
      observer.linked(false);
      runner.cancelAll();
      const { coordinator } = settings;
      if (wasUp) log.warn({ reason }, "cut off from the coordinator: all work is stopped");
      else log.warn({ reason, coordinator }, "the coordinator cannot be reached; dialling again");
    },
    onRenewal: (failure) => {
      if (failure === null) log.info("the stream goes on under the new certificate");
      else log.warn({ reason: failure }, "the stream keeps its older certificate; trying again");
    },
    onOrder: (order) => {
      if (order.kind === "assign") observer.assigned(order.assignment);
      if (order.kind === "cancel") observer.cancelled(order.taskId, order.epoch);
      taskLog.order(order);
      obey(runner, order);
    },
  });
  link.start();
  const ready = { model: model.name, digest: model.digest, structure, dtype, plan_hash: planHash };
  log.info({ ...ready, ffmpeg: ffmpeg?.version ?? null, bus: bus.address }, "ready");
  return {
    whyNotReady: () => (link.holdsLease() ? null : "not welcomed by the coordinator"),
    drain: () => drain(link, runner, clock),
    close: async () => {
      tls?.close();
      await closeAll(link, runner, runtime, bus);
    },
  };
}

/** @throws FarmError "invalid-argument" when a file is not what it must be, or names another node */
export function openNodeTls({ tls, nodeId }: NodeSettings, log: Logger): TlsFiles | null {
  if (tls === null) return null;
  const options = { role: "node", clock: systemClock, wallMs: Date.now, log } as const;
  const files = new TlsFiles(tls, options);
  const { name } = files.current.identity;
  if (name === nodeId) return files;
  files.close();
  const text = `--node-id: ${nodeId} is not ${name}, for whom the certificate ${tls.cert} is`;
  throw new FarmError("invalid-argument", text);
}

/** Everybody who looks on, as one. */
function observerOf(meters: NodeObserver, traces: NodeTraces | null, log: Logger): NodeObserver {
  const lookingOn = [
    meters,
    ...(traces ? [traces.observer] : []),
    ...(log.isLevelEnabled("debug") ? [new StepLog(log).observer] : []),
  ];
  return lookingOn.reduce(bothNodeObservers);
}

/** The runtime child, started again when it dies. */
export function superviseChild({
  settings,
  provider,
  log,
  onBroken,
  onRestart,
}: AgentOptions & { readonly provider: Provider }): Promise<SupervisedRuntime> {
  return SupervisedRuntime.start({
    child: {
      checkpointDir: settings.checkpoint,
      variant: settings.variant,
      provider,
      intraOpThreads: settings.threads,
      dtype: settings.dtype,
      offload: settings.offload,
      forwardChunkSize: settings.forwardChunkSize,
      // What else an accelerator's memory holds, and whose it is, the engine alone knows.
      memoryBytes: provider === "cpu" ? memoryOf(settings) : settings.memoryBytes,
    },
    clock: systemClock,
    onRestart: ({ detail }) => {
      onRestart?.();
      log.error({ detail }, "the runtime child is started again");
    },
    onGone: onBroken,
  });
}

/** Settings with the provider that was chosen. */
type Settled = NodeSettings & { readonly provider: Provider };

/** Bytes that the runtime may use. */
function memoryOf({ memoryBytes }: NodeSettings): number {
  return memoryBytes ?? usableMemory(process.constrainedMemory(), totalmem());
}

function identityOf(
  settings: Settled,
  info: RuntimeInfo,
  bus: OpenedBus,
  hasFfmpeg: boolean,
): NodeIdentity {
  return {
    nodeId: settings.nodeId,
    bootId: idFromBytes(randomBytes(16)),
    model: info.model,
    provider: settings.provider,
    planHash: runtimePlanHash({
      modelDigest: info.model.digest,
      graphs: info.graphs,
      ortVersion: info.ortVersion,
      provider: settings.provider,
      // How a kernel cuts up its sums goes by the threads too.
      device: `${arch()} ${cpus()[0]?.model ?? "unknown"} x ${settings.threads}`,
      dtype: info.dtype,
    }),
    busAddress: settings.busAdvertise ?? bus.address,
    busToken: bus.token,
    hasFfmpeg,
    memoryBytes: memoryOf(settings),
    prefers: settings.prefers,
  };
}

function obey(runner: TaskRunner, order: TaskOrder): void {
  switch (order.kind) {
    case "assign":
      runner.assign(order.assignment);
      return;
    case "cancel":
      runner.cancel(order.taskId, order.epoch);
      return;
    case "yield":
      runner.yield(order.taskId, order.epoch);
      return;
    case "continue-alone":
      runner.continueAlone(order.taskId, order.epoch, order.newEpoch);
      return;
    default:
      assertNever(order);
  }
}

/** Where a task runner's troubles go that end no task. */
function troublesTo(
  observer: NodeObserver,
  taskLog: TaskLog,
  log: Logger,
): Pick<TaskRunnerParts, "onFrameDropped" | "onStoreAway" | "onSaveFailed"> {
  return {
    onFrameDropped: (taskId, reason) => {
      observer.frameDropped(reason);
      log.warn({ ...taskLog.fieldsOf(taskId), reason }, "a frame of the partner was not used");
    },
    onStoreAway: ({ code, detail }) =>
      log.warn({ code, detail }, "a task waits for the blob store, 10 minutes at most"),
    onSaveFailed: (taskId, { code, detail }) => {
      observer.saveFailed();
      const fields = { ...taskLog.fieldsOf(taskId), code, detail };
      log.warn(fields, "latents on their way were not saved");
    },
  };
}

async function closeAll(
  link: NodeLink,
  runner: TaskRunner,
  runtime: Runtime,
  bus: OpenedBus,
): Promise<void> {
  link.close();
  runner.cancelAll();
  // A run cannot be stopped, so the child goes first; its tasks end with it.
  await runtime.close();
  let cancelLimit = () => {};
  const limit = new Promise<void>((resolve) => {
    cancelLimit = systemClock.after(CLOSE_MS_MAX, resolve);
  });
  await Promise.race([Promise.all([runner.idle(), bus.close()]), limit]);
  cancelLimit();
}
