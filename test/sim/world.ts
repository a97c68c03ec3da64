/** @file Everything that the parts of one simulated farm share. */
import type { SimBus } from "./bus.js";
import type { Core } from "./core.js";
import type { SimJournal } from "./journal.js";
import type { Network } from "./network.js";
import type { Oracle } from "./oracle.js";
import type { Random } from "./random.js";
import type { SimStore } from "./store.js";
import type { Timeline } from "./timeline.js";
import type { Trace } from "./trace.js";

export interface World {
  readonly core: Core;
  /** To be split, never drawn from. */
  readonly random: Random;
  readonly timeline: Timeline;
  readonly trace: Trace;
  readonly network: Network;
  readonly bus: SimBus;
  readonly store: SimStore;
  readonly journal: SimJournal;
  readonly oracle: Oracle;
  /** Events between two snapshots; null: none is kept. */
  readonly snapshotEvents: number | null;
  /** Null: the store is never cleaned. */
  readonly cleaning: { readonly pauseMs: number; readonly sparedMs: number } | null;
  /** The clock on the wall: it may jump, time does not. */
  readonly wall: { offsetMs: number };
}

/** Where the wall clock stands at the beginning. */
export const WALL_START_MS = Date.UTC(2026, 0, 1);

export function wallMs(world: Pick<World, "timeline" | "wall">): number {
  return WALL_START_MS + Math.floor(world.timeline.nowMs()) + world.wall.offsetMs;
}
