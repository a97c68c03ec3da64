/**
 * @file What every process of the farm says of itself: its build, time, memory, event loop and the
 * ends of its certificates.
 *
 * prom-client's own default metrics are not used: they come with some gauges whose names end in
 * `_total`, and with a dozen series that nobody looks at.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, type Registry } from "prom-client";
import type { UsedCertificate } from "../tls/used-certificate.js";

export interface BuildInfo {
  readonly version: string;
  /** Commit that the build was made from; "" where nobody said. */
  readonly commit: string;
  /** Version of onnxruntime; "" in a process without it. */
  readonly ortVersion: string;
}

/** How often the event loop's delay is sampled; shorter would cost more than it shows. */
const SAMPLE_MS = 20;
const PARTS = [
  ["p50", 50],
  ["p99", 99],
  ["max", 100],
] as const;

/** @returns stops what samples in the background */
export function registerProcessMetrics(registry: Registry, build: BuildInfo): () => void {
  const registers = [registry];
  new Gauge({
    name: "renderfarm_build_info",
    help: "Always 1; the labels say what runs.",
    labelNames: ["version", "commit", "node_version", "ort_version"],
    registers,
  }).set(
    {
      version: build.version,
      commit: build.commit,
      node_version: process.version,
      ort_version: build.ortVersion,
    },
    1,
  );
  new Gauge({
    name: "process_start_time_seconds",
    help: "When this process started, in seconds since 1970.",
    registers,
  }).set(Math.round(Date.now() / 1_000 - process.uptime()));
  new Counter({
    name: "process_cpu_seconds_total",
    help: "Processor time of this process, user and system.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory of this process.",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  return registerLoopLag(registry);
}

/** Beyond the sampling interval itself, which the histogram of Node counts in. */
function registerLoopLag(registry: Registry): () => void {
  const delays = monitorEventLoopDelay({ resolution: SAMPLE_MS });
  delays.enable();
  new Gauge({
    name: "renderfarm_event_loop_lag_seconds",
    help: "How late the event loop ran its timers since the last scrape: median, p99, worst.",
    labelNames: ["part"],
    registers: [registry],
    collect() {
      for (const [part, percent] of PARTS) {
        const seconds = delays.count === 0 ? 0 : delays.percentile(percent) / 1e9;
        this.set({ part }, Math.max(0, seconds - SAMPLE_MS / 1_000));
      }
      delays.reset();
    },
  });
  return () => delays.disable();
}

/**
 * When each certificate that this process uses ends.
 *
 * @returns sets one, whenever it changes
 */
export function registerCertificateExpiry(
  registry: Registry,
): (certificate: UsedCertificate) => void {
  const gauge = new Gauge({
    name: "renderfarm_certificate_expiry_timestamp_seconds",
    help: "When a certificate that this process shows or trusts ends, in seconds since 1970.",
    labelNames: ["certificate"],
    registers: [registry],
  });
  return ({ use, endsAtMs }) => gauge.set({ certificate: use }, endsAtMs / 1_000);
}
