/** @file Who looks on while the farm changes: metrics. What it does changes nothing. */
import type { FarmEffect, FarmEvent } from "../plan/events.js";
import type { Farm } from "../plan/farm-state.js";

export interface FarmObserver {
  /** The farm as it was recovered, before its first event. */
  started(farm: Farm): void;
  /** One event was applied; called in the same turn, before the event is durable. */
  applied(farm: Farm, event: FarmEvent, effects: readonly FarmEffect[]): void;
}

/** All of those that there are as one; null without any. */
export function observers(
  ...some: readonly (FarmObserver | null | undefined)[]
): FarmObserver | null {
  const all = some.filter((each) => each !== null && each !== undefined);
  if (all.length === 0) return null;
  return {
    started: (farm) => {
      for (const each of all) each.started(farm);
    },
    applied: (farm, event, effects) => {
      for (const each of all) each.applied(farm, event, effects);
    },
  };
}
