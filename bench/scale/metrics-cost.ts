/** @file What metrics take: of a scrape, of every event of the coordinator, and of a whole run. */
import { Registry } from "prom-client";
import { NodeMetrics } from "../../gpu-node/agent/metrics.js";
import { registerProcessMetrics } from "../../shared/adapters/metrics/process-metrics.js";
import { atMost, type Figure, noted } from "../farm/figures.js";
import { type CoreRun, cpuMsOf, runCore } from "./core.js";

const NODES = 1_000;
const ROUNDS = 3;
const SCRAPE_MS_MAX = 5;
const SHARE_PERCENT_MAX = 0.5;
/** Shorter than any real run, where metrics weigh the most: 10 steps of no more than the farm itself. */
const RUN = { seconds: 0.23, steps: 10, events: 22 } as const;
/** As the PodMonitor has it. */
const SCRAPE_INTERVAL_SECONDS = 15;
const STEPS_TIMED = 20_000;

export async function measureMetricsCost(): Promise<Figure[]> {
  const runs: CoreRun[] = [];
  const registry = new Registry();
  const stop = registerProcessMetrics(registry, { version: "", commit: "", ortVersion: "" });
  for (let i = 0; i < ROUNDS; i++) {
    runs.push(await runCore(NODES, i === 0 ? registry : new Registry()));
  }
  stop();
  const wall = sorted(runs.flatMap(({ scrapes }) => scrapes.map(({ wallMs }) => wallMs)));
  const cpu = sorted(runs.flatMap(({ scrapes }) => scrapes.map(({ cpuMs }) => cpuMs)));
  const eventUs = Math.min(...runs.map((run) => (1e6 * run.observedSeconds) / run.events));
  const stepUs = microsPerStep();
  const scrapeMs = quantile(cpu, 0.5);
  const runMs =
    (RUN.events * eventUs + RUN.steps * stepUs) / 1_000 +
    (2 * scrapeMs * RUN.seconds) / SCRAPE_INTERVAL_SECONDS;
  const name = `a scrape of a coordinator with ${NODES} nodes`;
  return [
    atMost(`${name}, p50`, quantile(wall, 0.5), SCRAPE_MS_MAX, "ms"),
    atMost(`${name}, p95`, quantile(wall, 0.95), SCRAPE_MS_MAX, "ms"),
    atMost("the same, p95, processor time alone", quantile(cpu, 0.95), SCRAPE_MS_MAX, "ms"),
    noted("metrics of the coordinator, each event", eventUs, "us"),
    noted("metrics of a node, each step of a pair", stepUs, "us"),
    atMost(
      `metrics on, of a run of ${RUN.seconds} s`,
      runMs / RUN.seconds / 10,
      SHARE_PERCENT_MAX,
      "%",
    ),
  ];
}

/** All that a node's metrics are told in one step of a pair. */
function microsPerStep(): number {
  const registry = new Registry();
  const named = { nodeId: "node", provider: "cuda", prefers: "any" as const };
  const metrics = new NodeMetrics({ registry, ...named });
  const step = () => {
    metrics.halfMade("cond", 0.1);
    metrics.halfSent();
    metrics.halfCame();
    metrics.waited(0.001);
    metrics.combined(0.001);
    metrics.stepMade("pair", 0.1);
    metrics.computed(0.1);
  };
  for (let i = 0; i < STEPS_TIMED; i++) step();
  const cpuMs = cpuMsOf(() => {
    for (let i = 0; i < STEPS_TIMED; i++) step();
  });
  return (1_000 * cpuMs) / STEPS_TIMED;
}

function sorted(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

/** @param values in order */
function quantile(values: readonly number[], share: number): number {
  return values[Math.floor(share * (values.length - 1))] ?? Number.NaN;
}
