/** @file Verbs on nodes: nodes, drain, undrain. */

import type { NodeView } from "../client/farm-view.js";
import { formatBytes } from "../shared/core/bytes.js";
import type { Seconds } from "../shared/farm/job.js";
import { type JobFlags, withFarm } from "./jobs.js";
import { printTable } from "./table.js";

export async function nodes(flags: JobFlags): Promise<void> {
  const { nodes: found } = await withFarm(flags, (client) => client.getFarm());
  if (flags.json) process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
  else
    printTable(
      ["NODE", "STATE", "TASKS", "PROVIDER", "MEMORY", "PREFERS", "MODEL"],
      found.map(row),
    );
}

/** Who held nodes for how long, for what, and what of it came to nothing. */
export async function usage(flags: JobFlags): Promise<void> {
  const { usage: found } = await withFarm(flags, (client) => client.getFarm());
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
    return;
  }
  const cells = ({ used, wasted }: Seconds) => [used.toFixed(1), wasted.toFixed(1)];
  const owners = found.byOwner.map((each) => [each.owner, ...cells(each)]);
  printTable(["OWNER", "SECONDS", "WASTED"], owners);
  process.stdout.write("\n");
  const stages = found.byStage.map((each) => [each.stage, ...cells(each)]);
  printTable(["STAGE", "SECONDS", "WASTED"], stages);
}

/** No new work for the node; what it denoises goes on elsewhere from the next step. */
export async function drain(nodeId: string, flags: JobFlags): Promise<void> {
  printNode(await withFarm(flags, (client) => client.drainNode(nodeId)), flags);
}

/** The node may work again, whatever happened before. */
export async function undrain(nodeId: string, flags: JobFlags): Promise<void> {
  printNode(await withFarm(flags, (client) => client.undrainNode(nodeId)), flags);
}

function printNode(node: NodeView, flags: JobFlags): void {
  if (flags.json) process.stdout.write(`${JSON.stringify(node, null, 2)}\n`);
  else process.stdout.write(`${node.nodeId} ${stateOf(node)}\n`);
}

function row(node: NodeView): string[] {
  const { nodeId, taskCount, provider, memoryBytes, prefers, modelDigest } = node;
  return [
    ...[nodeId, stateOf(node), String(taskCount), provider],
    memoryBytes === 0 ? "" : formatBytes(memoryBytes),
    ...[prefers, modelDigest.slice(0, 12)],
  ];
}

function stateOf({ connected, refusal, taskCount }: NodeView): string {
  if (!connected) return refusal === "" ? "gone" : `gone, ${refusal}`;
  if (refusal !== "") return refusal;
  return taskCount === 0 ? "idle" : "busy";
}
