/** @file Verbs on nodes: nodes, drain, undrain. */

import type { NodeView } from "../client/farm-view.js";
import { formatBytes } from "../shared/core/bytes.js";
import type { Seconds } from "../shared/farm/job.js";
import { type JobFlags, withFarm } from "./jobs.js";
import { printList, printOne, type Shown } from "./output.js";
import { formatTable } from "./table.js";

export async function nodes(flags: JobFlags): Promise<void> {
  const { nodes: found } = await withFarm(flags, (client) => client.getFarm());
  printList(found, flags, SHOWN_NODE);
}

/** Who held nodes for how long, for what, and what of it came to nothing. */
export async function usage(flags: JobFlags): Promise<void> {
  const { usage: found } = await withFarm(flags, (client) => client.getFarm());
  const cells = ({ used, wasted }: Seconds) => [used.toFixed(1), wasted.toFixed(1)];
  const owners = found.byOwner.map((each) => [each.owner, ...cells(each)]);
  const stages = found.byStage.map((each) => [each.stage, ...cells(each)]);
  const tables = [
    formatTable(["OWNER", "SECONDS", "WASTED"], owners),
    formatTable(["STAGE", "SECONDS", "WASTED"], stages),
  ];
  printOne(found, flags, { name: "usage", text: tables.join("\n") });
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
  printOne(node, flags, { name: node.nodeId, text: `${node.nodeId} ${stateOf(node)}\n` });
}

const SHOWN_NODE: Shown<NodeView> = {
  columns: [
    { heading: "NODE", cell: (node) => node.nodeId },
    { heading: "STATE", cell: (node) => stateOf(node) },
    { heading: "TASKS", cell: (node) => String(node.taskCount) },
    { heading: "PROVIDER", cell: (node) => node.provider },
    {
      heading: "MEMORY",
      cell: ({ memoryBytes }) => (memoryBytes === 0 ? "" : formatBytes(memoryBytes)),
    },
    { heading: "PREFERS", cell: (node) => node.prefers },
    { heading: "MODEL", cell: (node) => node.modelDigest.slice(0, 12) },
    { heading: "DIGEST", cell: (node) => node.modelDigest, isWide: true },
  ],
  name: (node) => node.nodeId,
};

function stateOf({ connected, refusal, taskCount }: NodeView): string {
  if (!connected) return refusal === "" ? "gone" : `gone, ${refusal}`;
  if (refusal !== "") return refusal;
  return taskCount === 0 ? "idle" : "busy";
}
