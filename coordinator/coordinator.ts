/** @file The coordinator put together: loop, node sessions and the gRPC server over given ports. */
import { randomBytes } from "node:crypto";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { JobServiceService } from "../proto/gen/renderfarm/v1/job_service.js";
import { NodeServiceService } from "../proto/gen/renderfarm/v1/node_service.js";
import type { LoopWatch } from "../shared/adapters/clock/loop-watch.js";
import { serverOptions } from "../shared/adapters/grpc/connection-options.js";
import { FarmServerCredentials } from "../shared/adapters/tls/grpc-credentials.js";
import type { JobTracer } from "../shared/adapters/tracing/job-tracer.js";
import { assert } from "../shared/core/assert.js";
import { isLoopback } from "../shared/core/endpoint.js";
import { FarmError } from "../shared/core/errors.js";
import { idFromBytes } from "../shared/core/ids.js";
import { traceOfJob } from "../shared/core/trace-context.js";
import type { BlobStore } from "../shared/ports/blob-store.js";
import type { Clock } from "../shared/ports/clock.js";
import type { Journal } from "../shared/ports/journal.js";
import type { Access } from "./access/access.js";
import { type HttpServer, type HttpServerParts, startHttpServer } from "./http/http-server.js";
import type { CoordinatorMeters } from "./measured.js";
import { guardOf } from "./rpc/guard.js";
import { addHealth } from "./rpc/health-service.js";
import { jobApi } from "./rpc/job-api.js";
import { jobServiceHandlers } from "./rpc/job-service.js";
import { connectHandler } from "./rpc/node-service.js";
import { REFLECTION_SERVICES, reflectionHandlers } from "./rpc/reflection.js";
import type { Failpoint } from "./shell/failpoint.js";
import { FarmFeed } from "./shell/farm-feed.js";
import { FarmLoop, type FarmPolicy } from "./shell/farm-loop.js";
import { observers } from "./shell/farm-observer.js";
import { Janitor } from "./shell/janitor.js";
import { NodeSessions } from "./shell/node-sessions.js";
import { type Publication, publishClip } from "./shell/publish.js";
import type { Recovered } from "./shell/recover.js";
import { sweepJob } from "./shell/sweep.js";
import { Timeline } from "./shell/timeline.js";
import { JobTraces } from "./shell/traces.js";

/** How long open streams may take to end before the server closes them. */
const SHUTDOWN_MS = 2_000;
/** A publication that failed is tried again after this long: the store may be back. */
const PUBLISH_RETRY_MS = 1_000;

/** How often blobs that no job owns are looked for. */
const CLEANING_MS = 3_600_000;

/** What the HTTP edge needs beyond what the coordinator has itself. */
type HttpSettings = Pick<HttpServerParts, "listen" | "consoleFolder" | "version" | "stalledMs">;

export interface CoordinatorParts {
  /** HOST:PORT; port 0 takes a free one. */
  readonly listen: string;
  readonly journal: Journal;
  /** The farm as a standby has it that followed this journal; null or absent: it is read. */
  readonly followed?: Recovered | null;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly policy: FarmPolicy;
  /** Milliseconds since 1970, for the times of jobs. */
  readonly wallMs: () => number;
  readonly log: Logger;
  /** The journal cannot be written: nothing may be promised any more. */
  readonly onBroken: (error: unknown) => void;
  /** Where a test lets this process die. */
  readonly failpoint?: Failpoint | null;
  /** The console and the JSON gateway; null or absent: gRPC alone. */
  readonly http?: HttpSettings | null;
  /** Who may call what; null: everybody everything, on loopback only. */
  readonly access?: Access | null;
  /** Whether this process keeps up; null or absent: nobody looks. */
  readonly pace?: LoopWatch | null;
  /** Null or absent: nothing is measured. */
  readonly meters?: CoordinatorMeters | null;
  /** Null or absent: nothing is traced. */
  readonly tracer?: JobTracer | null;
}

export interface Coordinator {
  /** host:port it listens on. */
  readonly address: string;
  /** host:port of console and JSON gateway; null without them. */
  readonly httpAddress: string | null;
  readonly loop: FarmLoop;
  /** Refuses new calls, ends the streams of nodes and watchers, closes the journal. */
  stop(): Promise<void>;
}

/**
 * Recovers the farm from the journal, then listens.
 *
 * @throws FarmError "unreachable" when the address cannot be taken or the journal cannot be read,
 *   "wrong-state" when the journal is damaged
 */
export async function startCoordinator(parts: CoordinatorParts): Promise<Coordinator> {
  const { blobs, clock, log, onBroken, meters = null } = parts;
  const journal = meters ? meters.journal(parts.journal) : parts.journal;
  let hasClosed = false;
  const loop = new FarmLoop(journal, parts.wallMs, policyOf(parts), {
    log,
    followed: parts.followed ?? null,
    failpoint: parts.failpoint ?? null,
    observer: observers(meters?.farm, parts.tracer && new JobTraces(parts.tracer)),
    onBroken: (error) => {
      if (!hasClosed) onBroken(error);
    },
  });
  const sessions = new NodeSessions(loop, clock, onBroken);
  meters?.farm.listen(() => sessions.silenceMs());
  const publish = (publication: Publication): void => {
    const { jobId, clipIndex, run } = publication;
    publishClip(blobs, publication).then(
      () => {
        // The next start publishes it again, which changes nothing.
        if (hasClosed) return;
        loop.dispatch({ kind: "clip-published", jobId, clipIndex, run }).catch(onBroken);
      },
      (error: unknown) => {
        if (hasClosed) return;
        log.error(
          { err: error, ...idsOf(loop, jobId) },
          "a clip could not be published; trying again",
        );
        clock.after(PUBLISH_RETRY_MS, () => publish(publication));
      },
    );
  };
  const sweep = (jobId: string, outputs: boolean): void => {
    const isWanted = () => loop.farm.jobs.get(jobId)?.swept !== false;
    sweepJob(blobs, { jobId, outputs, isWanted }).catch((error: unknown) => {
      log.error({ err: error, ...idsOf(loop, jobId) }, "what a job left could not be removed");
    });
  };
  const janitor = new Janitor(blobs, loop);
  const stopCleaning = cleanRegularly(janitor, clock, log);
  await loop.start((effect) => {
    if (effect.kind === "publish") publish(effect);
    else if (effect.kind === "sweep") sweep(effect.jobId, effect.outputs);
    else sessions.execute(effect);
  });
  sessions.start();

  const { access = null, http: settings = null } = parts;
  const { interceptors, callerOf } = guardOf(access);
  const outer = meters ? [meters.interceptor] : [];
  const server = new Server({ ...serverOptions, interceptors: [...outer, ...interceptors] });
  const api = jobApi({ loop, blobs, janitor, log, quotas: access?.quotas ?? null });
  const stopping = new AbortController();
  server.addService(
    JobServiceService,
    jobServiceHandlers(api, callerOf, { clock, stopping: stopping.signal }),
  );
  server.addService(NodeServiceService, {
    connect: connectHandler({ loop, sessions, clock, callerOf, onError: onBroken }),
  });
  const stopServing = addHealth(server, parts.pace ?? null, log);
  for (const service of REFLECTION_SERVICES)
    server.addService(service, { ...reflectionHandlers() });
  const address = await listen(server, parts.listen, access);
  const whyBehind = () => parts.pace?.whyBehind() ?? null;
  const http = await openHttp(settings, { api, loop, blobs, clock, log, access, whyBehind });
  return {
    address,
    httpAddress: http?.address ?? null,
    loop,
    async stop() {
      // First of all, so that nobody is sent here any more.
      stopServing();
      stopCleaning();
      await http?.stop();
      const ended = shutDown(server, clock);
      stopping.abort();
      sessions.stop();
      await ended;
      hasClosed = true;
      meters?.farm.ended();
      await journal.close();
      await access?.audit.flush();
    },
  };
}

/** What is decided by, with how much each owner may have. */
function policyOf({ policy, access }: CoordinatorParts): FarmPolicy {
  return { ...policy, runningJobsMax: (owner) => access?.quotas.runningJobsMax(owner) ?? null };
}

/** @returns ends it */
function cleanRegularly(janitor: Janitor, clock: Clock, log: Logger): () => void {
  const clean = (): void => {
    cancel = clock.after(CLEANING_MS, clean);
    janitor.collect({ dryRun: false }).then(
      (garbage) => {
        if (garbage.blobs > 0) log.info(garbage, "removed blobs that no job owns");
      },
      (error: unknown) => log.error({ err: error }, "the blob store could not be cleaned"),
    );
  };
  let cancel = clock.after(CLEANING_MS, clean);
  return () => cancel();
}

/** By which a log's line on a job is found. */
function idsOf({ farm }: FarmLoop, jobId: string): { job_id: string; trace_id: string } {
  const { traceId } = traceOfJob(jobId, farm.jobs.get(jobId)?.traceparent ?? null);
  return { job_id: jobId, trace_id: traceId };
}

/** The HTTP edge with what it alone remembers: the latest changes and who worked on what. */
async function openHttp(
  settings: HttpSettings | null,
  parts: Pick<HttpServerParts, "api" | "loop" | "blobs" | "clock" | "log" | "access" | "whyBehind">,
): Promise<HttpServer | null> {
  if (settings === null) return null;
  const feed = new FarmFeed(parts.loop, idFromBytes(randomBytes(16)));
  const timeline = new Timeline(parts.loop);
  const server = await startHttpServer({ ...parts, ...settings, feed, timeline });
  return {
    address: server.address,
    async stop() {
      feed.stop();
      timeline.stop();
      await server.stop();
    },
  };
}

/** Where others can reach it, nothing listens without TLS and keys, whoever starts it. */
function listen(server: Server, address: string, access: Access | null): Promise<string> {
  const host = address.slice(0, address.lastIndexOf(":"));
  assert(access !== null || isLoopback(address), `${address} to be loopback without TLS and keys`);
  const credentials = access
    ? new FarmServerCredentials(access.tls)
    : ServerCredentials.createInsecure();
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error) {
        reject(new FarmError("unreachable", `cannot listen on ${address}: ${error.message}`));
      } else resolve(`${host}:${port}`);
    });
  });
}

/** Streams that do not end by themselves are closed after a bound: tryShutdown waits for ever. */
function shutDown(server: Server, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cancelForce = clock.after(SHUTDOWN_MS, () => server.forceShutdown());
    server.tryShutdown(() => {
      cancelForce();
      resolve();
    });
  });
}
