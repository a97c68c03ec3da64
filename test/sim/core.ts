/**
 * @file What the simulation takes from production, as values, so that a mutation can stand in for one.
 */
import { reduceFarm } from "../../coordinator/plan/farm.js";
import { planFarm } from "../../coordinator/plan/schedule.js";
import { reduceDenoise, startDenoise } from "../../gpu-node/agent/denoise-machine.js";

export interface Core {
  readonly reduceFarm: typeof reduceFarm;
  readonly planFarm: typeof planFarm;
  readonly startDenoise: typeof startDenoise;
  readonly reduceDenoise: typeof reduceDenoise;
  /** What a restart makes of the journal's records. */
  readonly replayed: (records: readonly string[]) => readonly string[];
  /** A manifest is written only where there is none. */
  readonly publishesIfAbsent: boolean;
  /** Effects wait for their events to be in the journal. */
  readonly journalFirst: boolean;
}

export const PRODUCTION: Core = {
  reduceFarm,
  planFarm,
  startDenoise,
  reduceDenoise,
  replayed: (records) => records,
  publishesIfAbsent: true,
  journalFirst: true,
};
