/**
 * @file The coordinator process: `coordinator/main.js --listen HOST:PORT --data DIR`.
 *
 * Started with an IPC channel it tells its parent {kind: "ready", address, httpAddress}, and stops when the
 * parent goes away. Exit codes: 0 stopped, 1 broke down, 2 bad settings.
 */
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { LoopWatch } from "../shared/adapters/clock/loop-watch.js";
import { systemClock } from "../shared/adapters/clock/system-clock.js";
import { packageVersion } from "../shared/adapters/files/package-version.js";
import { farmLog } from "../shared/adapters/logs/farm-log.js";
import { openMetrics } from "../shared/adapters/metrics/open-metrics.js";
import { openBlobStore } from "../shared/adapters/open-blob-store.js";
import { openTracer } from "../shared/adapters/tracing/job-tracer.js";
import { asFarmError } from "../shared/core/errors.js";
import { openAccess } from "./access/open-access.js";
import { startCoordinator } from "./coordinator.js";
import { holderName } from "./holder-name.js";
import { CoordinatorMeters } from "./measured.js";
import { openJournalSource } from "./open-journal.js";
import { readSettings, USAGE } from "./settings.js";
import { readFailpoint } from "./shell/failpoint.js";
import { Leadership } from "./shell/leadership.js";

const log = farmLog({ name: "coordinator" });

/** Beside the compiled coordinator; the build puts it there. */
const consoleFolder = fileURLToPath(new URL("../console", import.meta.url));

async function main(): Promise<void> {
  const settings = readSettings(process.argv.slice(2), process.env);
  if (!settings) {
    process.stderr.write(USAGE);
    process.exit(0);
  }
  const failpoint = readFailpoint({
    env: process.env,
    onRefused: (reason) => log.warn(reason),
    exit: (code) => process.exit(code),
  });
  await mkdir(settings.data, { recursive: true });
  const { access: files } = settings;
  const access = files && (await openAccess(files, systemClock, Date.now, log));
  const pace = new LoopWatch(systemClock);
  pace.start();
  let whyNotReady: string | null = "reading the farm, or waiting for who leads it";
  const metrics = await openMetrics(settings.metrics, {
    version: packageVersion(),
    tls: access?.tls ?? null,
    checks: () => ({ pace: pace.whyBehind(), farm: whyNotReady }),
    config: settings,
  });
  const meters = metrics ? new CoordinatorMeters(metrics.registry, systemClock, Date.now) : null;
  const tracer = await openTracer(
    { name: "renderfarm-coordinator", version: packageVersion() },
    process.env,
  );
  const watching = {
    ...{ clock: systemClock, wallMs: Date.now, log },
    onCertificate: metrics?.onCertificate ?? (() => {}),
  };
  const store = await openBlobStore(settings.blobs, {
    ...{ env: process.env, log, role: "publishes", watching },
  });
  const transport = settings.blobs.startsWith("s3:") ? "s3" : "files";
  const blobs = meters ? meters.blobs(store, transport) : store;
  const { http: listen } = settings;
  const http = listen === null ? null : { listen, consoleFolder, version: packageVersion() };
  const leadership = new Leadership({
    source: await openJournalSource(settings.journal, {
      ...{ env: process.env, ...watching },
      holder: holderName(settings.listen),
    }),
    blobs,
    log,
    start: ({ journal, followed }, address, onBroken) =>
      startCoordinator({
        ...{ journal, followed, blobs, log, failpoint, onBroken },
        listen: address ?? settings.listen,
        http,
        ...{ meters, access, tracer, pace },
        clock: systemClock,
        wallMs: Date.now,
        policy: settings.policy,
      }),
    onStandby: (heldBy) => {
      // It can do all that a standby has to.
      whyNotReady = null;
      const ports = { metrics: metrics?.address ?? null };
      process.send?.({ kind: "standby", heldBy, ...ports });
    },
    onLead: ({ address, httpAddress, loop }) => {
      whyNotReady = null;
      const jobs = loop.farm.jobs.size;
      log.info(
        { address, http: httpAddress, jobs, metrics: metrics?.address ?? null },
        "listening",
      );
      process.send?.({ kind: "ready", address, httpAddress, metrics: metrics?.address ?? null });
    },
  });
  stopOnSignals({
    stop: async () => {
      await leadership.stop();
      await tracer?.close();
    },
  });
  await leadership.run();
  pace.stop();
}

/** First signal: stops in order. Second: exits at once. */
function stopOnSignals(leadership: { stop(): Promise<void> }): void {
  let stopping = false;
  const stop = (reason: string) => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ reason }, "stopping");
    void leadership.stop().finally(() => process.exit(0));
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
