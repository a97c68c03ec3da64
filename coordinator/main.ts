/**
 * @file The coordinator process: `coordinator/main.js --listen HOST:PORT --data DIR`.
 *
 * Started with an IPC channel it tells its parent {kind: "ready", address}, and stops when the
 * parent goes away. Exit codes: 0 stopped, 1 broke down, 2 bad settings.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import pino from "pino";
import { JobServiceService } from "../proto/gen/renderfarm/v1/job_service.js";
import { NodeServiceService } from "../proto/gen/renderfarm/v1/node_service.js";
import { systemClock } from "../shared/adapters/clock/system-clock.js";
import { FileBlobStore } from "../shared/adapters/files/file-blob-store.js";
import { FileJournal } from "../shared/adapters/files/file-journal.js";
import { serverOptions } from "../shared/adapters/grpc/connection-options.js";
import { asFarmError, FarmError } from "../shared/core/errors.js";
import { jobServiceHandlers } from "./rpc/job-service.js";
import { connectHandler } from "./rpc/node-service.js";
import { FarmLoop } from "./shell/farm-loop.js";
import { NodeSessions } from "./shell/node-sessions.js";
import { publishClip } from "./shell/publish.js";

/** How long open streams may take to end before the server closes them. */
const SHUTDOWN_MS = 2_000;
/** A publication that failed is tried again after this long: the store may be back. */
const PUBLISH_RETRY_MS = 1_000;

const log = pino(
  { name: "coordinator", formatters: { level: (label) => ({ level: label }) } },
  pino.destination(2),
);

interface Settings {
  readonly listen: string;
  readonly data: string;
}

async function main(): Promise<void> {
  const settings = readSettings();
  const journal = await FileJournal.open(join(settings.data, "journal"));
  const blobs = await FileBlobStore.open(join(settings.data, "blobs"));
  const breakDown = (error: unknown) => {
    log.fatal({ err: error }, "the journal cannot be written: nothing may be promised any more");
    process.exit(1);
  };
  const loop = new FarmLoop(journal, Date.now);
  const sessions = new NodeSessions(loop, systemClock, breakDown);
  const publish = (effect: Parameters<typeof publishClip>[1]): void => {
    const { jobId, clipIndex } = effect;
    publishClip(blobs, effect).then(
      () => loop.dispatch({ kind: "clip-published", jobId, clipIndex }).catch(breakDown),
      (error: unknown) => {
        log.error({ err: error, job_id: jobId }, "a clip could not be published; trying again");
        systemClock.after(PUBLISH_RETRY_MS, () => publish(effect));
      },
    );
  };
  await loop.start((effect) => {
    if (effect.kind === "publish") publish(effect);
    else sessions.execute(effect);
  });
  sessions.start();

  const server = new Server(serverOptions);
  server.addService(JobServiceService, jobServiceHandlers({ loop, blobs }));
  server.addService(NodeServiceService, {
    connect: connectHandler({ loop, sessions, clock: systemClock, onError: breakDown }),
  });
  const address = await listen(server, settings.listen);
  log.info({ address, jobs: loop.farm.jobs.size }, "listening");
  process.send?.({ kind: "ready", address });
  stopOnSignals(server, sessions, () => journal.close());
}

/** @throws FarmError "invalid-argument" */
function readSettings(): Settings {
  const { values } = parseArgs({
    options: { listen: { type: "string" }, data: { type: "string" } },
  });
  const listenAt = values.listen ?? "127.0.0.1:7433";
  if (!values.data) throw new FarmError("invalid-argument", "--data DIR is missing");
  const host = listenAt.slice(0, listenAt.lastIndexOf(":"));
  if (!["127.0.0.1", "localhost", "[::1]"].includes(host)) {
    throw new FarmError(
      "invalid-argument",
      `--listen ${listenAt}: without TLS and keys only loopback is allowed (127.0.0.1:PORT)`,
    );
  }
  return { listen: listenAt, data: values.data };
}

function listen(server: Server, address: string): Promise<string> {
  const host = address.slice(0, address.lastIndexOf(":"));
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error) {
        reject(new FarmError("unreachable", `cannot listen on ${address}: ${error.message}`));
      } else resolve(`${host}:${port}`);
    });
  });
}

/** First signal: no new calls, nodes are told by the end of their streams. Second: exit at once. */
function stopOnSignals(
  server: Server,
  sessions: NodeSessions,
  closeJournal: () => Promise<void>,
): void {
  let stopping = false;
  const stop = (reason: string) => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ reason }, "stopping");
    const force = setTimeout(() => server.forceShutdown(), SHUTDOWN_MS);
    server.tryShutdown(() => {
      clearTimeout(force);
      void closeJournal().finally(() => process.exit(0));
    });
    sessions.stop();
  };
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("disconnect", () => stop("the parent process went away"));
}

main().catch((error: unknown) => {
  const known = asFarmError(error);
  log.fatal({ err: error, code: known.code }, known.detail);
  process.send?.({ kind: "failed", code: known.code, detail: known.detail });
  process.exitCode = known.code === "invalid-argument" ? 2 : 1;
  process.disconnect?.();
});
