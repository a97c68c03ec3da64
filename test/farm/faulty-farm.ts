/** @file A faulty node beside the two good ones of a farm; what it does wrong says test/faulty-node. */
import type { FaultFarm } from "./fault-farm.js";

const GOOD = ["node-1", "node-2"];

/** The good ones take no work until they are asked to, and after `use` they do again. */
export async function withFaulty(
  farm: FaultFarm,
  nodeId: string,
  fault: string,
  use: () => Promise<void>,
): Promise<void> {
  for (const good of GOOD) await farm.client.drainNode(good);
  await farm.startNode(nodeId, { fault });
  await farm.nodesJoined(farm.nodes.size);
  try {
    await use();
  } finally {
    await farm.removeNode(nodeId);
    await useGood(farm);
  }
}

export async function useGood(farm: FaultFarm): Promise<void> {
  for (const good of GOOD) await farm.client.undrainNode(good);
}
