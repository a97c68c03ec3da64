/** @file Nodes and checkpoints as operators see them, and what they may ask of nodes. */
import type * as wire from "../../proto/gen/renderfarm/v1/job_service.js";
import { packageVersion } from "../../shared/adapters/files/package-version.js";
import { encodeStage, encodeUsage } from "../../shared/adapters/grpc/job-codec.js";
import { encodeModelInfo } from "../../shared/adapters/grpc/model-codec.js";
import { encodePreference } from "../../shared/adapters/grpc/node-codec.js";
import { FarmError } from "../../shared/core/errors.js";
import { recordOf } from "../plan/farm-state.js";
import { refusalOf } from "../plan/node-machine.js";
import type { FarmLoop } from "../shell/farm-loop.js";

/** Read once: it is told with every change of the farm. */
const VERSION = packageVersion();

/** @param owner whose use of the farm alone is told; null: every owner's, and that of stages */
export function viewFarm(loop: FarmLoop, owner: string | null): wire.GetFarmResponse {
  const { nodes, nodeRecords } = loop.farm;
  const models = new Map([...nodes.values()].map(({ info }) => [info.model.digest, info.model]));
  const { byOwner, byStage } = loop.farm.usage.entries();
  const known = new Set([...nodes.keys(), ...nodeRecords.keys()]);
  return {
    models: [...models.values()].map(encodeModelInfo),
    // A node that is gone is shown while an operator's word or a quarantine on it stands.
    nodes: [...known]
      .sort(byName)
      .map((nodeId) => viewNode(loop, nodeId))
      .filter((node) => node.connected || node.refusal !== ""),
    usageByOwner: [...byOwner]
      .filter(([name]) => owner === null || name === owner)
      .map(([name, seconds]) => ({ owner: name, usage: encodeUsage(seconds) })),
    usageByStage: [...(owner === null ? byStage : [])].map(([stage, seconds]) => ({
      stage: encodeStage(stage),
      usage: encodeUsage(seconds),
    })),
    version: VERSION,
  };
}

/** As people count: node-2 before node-10. */
function byName(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

/** @throws FarmError "not-found" */
export async function drainNode(loop: FarmLoop, nodeId: string): Promise<wire.FarmNode> {
  refuseUnknown(loop, nodeId);
  await loop.dispatch({ kind: "node-drained", nodeId });
  return viewNode(loop, nodeId);
}

/** @throws FarmError "not-found" */
export async function undrainNode(loop: FarmLoop, nodeId: string): Promise<wire.FarmNode> {
  refuseUnknown(loop, nodeId);
  await loop.dispatch({ kind: "node-undrained", nodeId });
  return viewNode(loop, nodeId);
}

function viewNode(loop: FarmLoop, nodeId: string): wire.FarmNode {
  const node = loop.farm.nodes.get(nodeId);
  const refusal = refusalOf(recordOf(loop.farm, nodeId), loop.nowMs()) ?? "";
  return {
    nodeId,
    modelDigest: node?.info.model.digest ?? "",
    provider: node?.info.provider ?? "",
    taskCount: [node?.gpuTaskId, node?.muxTaskId].filter(Boolean).length,
    refusal: node?.stopping ? "stopping" : refusal,
    connected: node !== undefined,
    memoryBytes: BigInt(node?.info.memoryBytes ?? 0),
    prefers: encodePreference(node?.info.prefers ?? "any"),
  };
}

function refuseUnknown(loop: FarmLoop, nodeId: string): void {
  if (loop.farm.nodes.has(nodeId) || loop.farm.nodeRecords.has(nodeId)) return;
  const shown = nodeId.slice(0, 64);
  const thing = { kind: "node", name: `nodes/${shown}` } as const;
  throw new FarmError("not-found", `there is no node '${shown}'`, { thing });
}
