/**
 * @file What the simulation takes from production, as values, so that a mutation can stand in for one.
 */
import { planAdmission } from "../../coordinator/plan/admission.js";
import { reduceFarm } from "../../coordinator/plan/farm.js";
import { planFarm } from "../../coordinator/plan/schedule.js";
import { orphanTest } from "../../coordinator/shell/janitor.js";
import { snapshotLines } from "../../coordinator/shell/recover.js";
import { reduceDenoise, startDenoise } from "../../gpu-node/agent/denoise-machine.js";

export interface Core {
  readonly reduceFarm: typeof reduceFarm;
  readonly planFarm: typeof planFarm;
  readonly planAdmission: typeof planAdmission;
  readonly startDenoise: typeof startDenoise;
  readonly reduceDenoise: typeof reduceDenoise;
  /** What a restart makes of the journal's records. */
  readonly replayed: (records: readonly string[]) => readonly string[];
  readonly snapshotLines: typeof snapshotLines;
  readonly orphanTest: typeof orphanTest;
  /** A manifest is written only where there is none. */
  readonly publishesIfAbsent: boolean;
  /** Effects wait for their events to be in the journal. */
  readonly journalFirst: boolean;
  /** What is read from the store is what its reference names. */
  readonly checksBlobs: boolean;
  /** A half arrives as it was sent, or not at all. */
  readonly checksFrames: boolean;
  /** One process has the journal open, and no other. */
  readonly locksJournal: boolean;
  /** The janitor waits for the journal, and asks again before it removes. */
  readonly asksBeforeRemoval: boolean;
}

export const PRODUCTION: Core = {
  reduceFarm,
  planFarm,
  planAdmission,
  startDenoise,
  reduceDenoise,
  replayed: (records) => records,
  snapshotLines,
  orphanTest,
  publishesIfAbsent: true,
  journalFirst: true,
  checksBlobs: true,
  checksFrames: true,
  locksJournal: true,
  asksBeforeRemoval: true,
};
