/**
 * @file `npm run bench -- farm [--only GROUP,...] [--json]`: the farm itself, without a model.
 *
 * Nodes are real processes with the real agent; only their runtime sleeps instead of computing. So
 * what is measured is what the farm adds, and eight nodes fit on two cores.
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { measureBatchScaling } from "./batch-scaling.js";
import { measureBusy } from "./busy.js";
import { measureCancel } from "./cancel.js";
import { measureDispatch } from "./dispatch.js";
import { measureFailover } from "./failover.js";
import { type Figure, figureRows, figureTable } from "./figures.js";
import { measurePairSpeed } from "./pair-speed.js";
import { measurePipeline } from "./pipeline.js";
import { measureRestart } from "./restart.js";
import { measureStepOverhead } from "./step-overhead.js";

const GROUPS: Readonly<Record<string, () => Promise<Figure[]>>> = {
  failover: measureFailover,
  cancel: measureCancel,
  pair: measurePairSpeed,
  batch: measureBatchScaling,
  busy: measureBusy,
  pipeline: measurePipeline,
  dispatch: measureDispatch,
  restart: measureRestart,
  step: measureStepOverhead,
};

/** @returns whether every figure is reached */
export function benchFarm(args: readonly string[]): Promise<boolean> {
  return benchGroups(GROUPS, args);
}

/** Measures the groups that `--only` names, or all, and prints their figures as a table or JSON. */
export async function benchGroups(
  known: Readonly<Record<string, () => Promise<Figure[]>>>,
  args: readonly string[],
): Promise<boolean> {
  const { only, json } = parseArgs({
    args: [...args],
    options: { only: { type: "string" }, json: { type: "boolean" } },
  }).values;
  const groups = only?.split(",") ?? Object.keys(known);
  const figures: Figure[] = [];
  for (const group of groups) {
    const measure = known[group];
    if (!measure) {
      const legal = Object.keys(known).join(", ");
      process.stderr.write(`--only: '${group}' is not one of ${legal}\n`);
      return false;
    }
    process.stderr.write(`measuring ${group}\n`);
    const measured = await measure();
    process.stderr.write(figureRows(measured));
    figures.push(...measured);
  }
  const machine = `${cpus()[0]?.model ?? "?"}, ${cpus().length} cores, Node ${process.version}`;
  const text = json
    ? `${JSON.stringify({ machine, figures }, null, 2)}\n`
    : `${machine}\n\n${figureTable(figures)}`;
  process.stdout.write(text);
  return figures.every(({ ok }) => ok !== false);
}
