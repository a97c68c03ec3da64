/**
 * @file `npm run bench -- scale [--only GROUP,...] [--json]`: what one coordinator, one NATS server and
 * one bucket carry, and what metrics take of it.
 */
import type { Figure } from "../farm/figures.js";
import { benchGroups } from "../farm/main.js";
import { measureBlobs } from "../transport/measure-blobs.js";
import { measureJournal } from "../transport/measure-journal.js";
import { measureBroker } from "./broker.js";
import { measureCore } from "./core.js";
import { measureMetricsCost } from "./metrics-cost.js";
import { measureMetricsRun } from "./metrics-run.js";
import { measureStreams } from "./streams.js";

const GROUPS: Readonly<Record<string, () => Promise<Figure[]>>> = {
  metrics: measureMetricsCost,
  "metrics-run": measureMetricsRun,
  core: measureCore,
  streams: measureStreams,
  journal: measureJournal,
  broker: measureBroker,
  bucket: measureBlobs,
};

/** @returns whether every figure is reached */
export function benchScale(args: readonly string[]): Promise<boolean> {
  return benchGroups(GROUPS, args);
}
