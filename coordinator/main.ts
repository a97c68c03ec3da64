/**
 * @file The coordinator process: `coordinator/main.js --listen HOST:PORT --data DIR`.
 *
 * Started with an IPC channel it tells its parent {kind: "ready", address, httpAddress},
 * and stops when the
 * parent goes away. Exit codes: 0 stopped, 1 broke down, 2 bad settings.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pino from "pino";
import { systemClock } from "../shared/adapters/clock/system-clock.js";
import { FileBlobStore } from "../shared/adapters/files/file-blob-store.js";
import { FileJournal } from "../shared/adapters/files/file-journal.js";
import { packageVersion } from "../shared/adapters/files/package-version.js";
import { asFarmError } from "../shared/core/errors.js";
import { type Coordinator, startCoordinator } from "./coordinator.js";
import { readSettings, USAGE } from "./settings.js";
import { readFailpoint } from "./shell/failpoint.js";
import { POLICY_DEFAULT } from "./shell/farm-loop.js";

const log = pino(
  { name: "coordinator", formatters: { level: (label) => ({ level: label }) } },
  pino.destination(2),
);

/** Beside the compiled coordinator; the build puts it there. */
const consoleFolder = fileURLToPath(new URL("../console", import.meta.url));

async function main(): Promise<void> {
  const settings = readSettings(process.argv.slice(2), process.env);
  if (!settings) {
    process.stderr.write(USAGE);
    process.exit(0);
  }
  const { listen, http, data } = settings;
  const failpoint = readFailpoint({
    env: process.env,
    onRefused: (reason) => log.warn(reason),
    exit: (code) => process.exit(code),
  });
  await mkdir(data, { recursive: true });
  const coordinator = await startCoordinator({
    listen,
    http: http === null ? null : { listen: http, consoleFolder, version: packageVersion() },
    journal: await FileJournal.open(join(data, "journal"), log),
    blobs: await FileBlobStore.open(join(data, "blobs")),
    clock: systemClock,
    wallMs: Date.now,
    policy: POLICY_DEFAULT,
    log,
    failpoint,
    onBroken: (error) => {
      const { code, detail } = asFarmError(error);
      log.fatal({ err: error, code }, `nothing may be promised any more: ${detail}`);
      process.exit(1);
    },
  });
  const { address, httpAddress, loop } = coordinator;
  log.info({ address, http: httpAddress, jobs: loop.farm.jobs.size }, "listening");
  stopOnSignals(coordinator);
  process.send?.({ kind: "ready", address, httpAddress });
}

/** First signal: stops in order. Second: exits at once. */
function stopOnSignals(coordinator: Coordinator): void {
  let stopping = false;
  const stop = (reason: string) => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ reason }, "stopping");
    void coordinator.stop().finally(() => process.exit(0));
  };
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("disconnect", () => stop("the parent process went away"));
}

main().catch((error: unknown) => {
  const known = asFarmError(error);
  log.fatal({ err: error, code: known.code }, known.detail);
  // What has begun by now, timers and publications, must not keep the process.
  const leave = () => process.exit(known.code === "invalid-argument" ? 2 : 1);
  if (process.send) {
    process.send({ kind: "failed", code: known.code, detail: known.detail }, leave);
  } else leave();
});
