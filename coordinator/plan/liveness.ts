/** @file Which nodes have been silent for too long. Time is an argument. */
import { LEASE_MS } from "./limits.js";

/**
 * @param lastHeardMs monotonic milliseconds of each node's last message
 * @param nowMs the same clock now
 * @returns ids of the nodes to be given up
 */
export function silentNodes(lastHeardMs: ReadonlyMap<string, number>, nowMs: number): string[] {
  return [...lastHeardMs]
    .filter(([, heardMs]) => nowMs - heardMs >= LEASE_MS)
    .map(([nodeId]) => nodeId);
}
