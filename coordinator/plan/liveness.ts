/** @file Which nodes have been silent for too long. Time is an argument. */
import { HEARTBEAT_MS, LEASE_MS } from "./limits.js";

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

/**
 * How long until somebody has to look again: no later than the first lease may end, and often enough
 * for whatever else goes by time.
 */
export function msToNextLook(lastHeardMs: ReadonlyMap<string, number>, nowMs: number): number {
  const ends = [...lastHeardMs.values()].map((heardMs) => heardMs + LEASE_MS - nowMs);
  return Math.max(0, Math.min(HEARTBEAT_MS, ...ends));
}
