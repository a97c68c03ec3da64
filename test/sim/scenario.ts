/** @file What a seed decides before a run begins: the farm, its users, and what may go wrong. */
import type { NodeTraits } from "./node.js";
import { Random } from "./random.js";
import { ALL_VERBS, type UserPlan } from "./users.js";

export const FAULTS = [
  "node-crash",
  "runtime-crash",
  "node-freeze",
  "node-stop",
  "node-flaps",
  "coordinator-crash",
  "coordinator-freeze",
  "journal-torn",
  "journal-slow",
  "stream-cut",
  "partition-control",
  "partition-bus",
  "bus-cut",
  "frames-again",
  "stray-report",
  "slow-link",
  "store-down",
  "store-slow",
  "nan",
  "wrong-bytes",
  "bad-node",
  "slow-node",
  "device-lost",
  "clock-jump",
] as const;
/** Those that came later: the seeds of older regressions know nothing of them. */
export const LATER_FAULTS = [
  "frame-flip",
  "blob-rot",
  "snapshot-rot",
  "second-coordinator",
] as const;
/** Of the third generation. */
export const THIRD_FAULTS = ["swizzle", "wrong-last-bytes", "result-rot", "publisher-cut"] as const;
export type Fault = (typeof FAULTS)[number];
export type LaterFault = (typeof LATER_FAULTS)[number];
export type ThirdFault = (typeof THIRD_FAULTS)[number];

/**
 * A world of the first generation has no snapshots, no janitor, no branches and no flipped bits; one
 * of the second has no deadlines, and never all of its links down. They are kept so that a seed that
 * once found something still tells the same story.
 */
export type Generation = 1 | 2 | 3;

/** What the second generation has. */
export interface LaterPlan {
  readonly faults: readonly LaterFault[];
  readonly faultPauseMs: number;
  /** Events between two snapshots. */
  readonly snapshotEvents: number | null;
  readonly cleaning: { readonly pauseMs: number; readonly sparedMs: number } | null;
  /** Share of jobs that branch from an earlier clip. */
  readonly branched: number;
}

/** What the third generation has. */
export interface ThirdPlan {
  readonly faults: readonly ThirdFault[];
  readonly faultPauseMs: number;
  /** Share of jobs that have a deadline. */
  readonly hurried: number;
  /** Jobs of one owner that are worked on at a time. */
  readonly runningJobsMax: number | null;
}

export interface Scenario {
  readonly seed: number;
  readonly nodes: readonly NodeTraits[];
  readonly users: UserPlan;
  /** How long faults happen; then they stop. */
  readonly chaosMs: number;
  readonly faults: readonly Fault[];
  /** Between two faults, about. */
  readonly faultPauseMs: number;
  /** Share of frames that come once more, later. */
  readonly duplicatedFrames: number;
  readonly ownerAcceleratorsMax: number | null;
  readonly intermediatesKeptMs: number;
  readonly later: LaterPlan | null;
  readonly third: ThirdPlan | null;
}

/** Of the farms that seeds decide. */
export const NODES_MAX = 5;

/** Every seed enables some faults and some verbs, so that rare meetings are not always the same. */
export function scenarioOf(seed: number, generation: Generation = 3): Scenario {
  const random = new Random(`scenario ${seed}`);
  const halfMs = random.pick([40, 150, 600]);
  const nodes = Array.from({ length: random.integer(1, NODES_MAX) }, (_, i) => ({
    nodeId: `node-${i + 1}`,
    halfMs: halfMs * random.between(0.7, 1.5),
    planHash: i > 0 && random.chance(0.1) ? "other-plan" : "plan",
  }));
  const some = <T>(items: readonly T[], share: number) => items.filter(() => random.chance(share));
  const isCalm = random.chance(0.04);
  return {
    seed,
    nodes,
    users: {
      jobs: random.integer(2, 8),
      verbs: isCalm ? [] : some(ALL_VERBS, 0.5),
      pauseMs: random.pick([500, 1_500, 5_000]),
      poisoned: random.pick([0, 0, 0.15]),
    },
    chaosMs: random.pick([15_000, 30_000, 60_000]),
    faults: isCalm ? [] : some(FAULTS, random.pick([0.15, 0.35, 0.6])),
    faultPauseMs: random.pick([700, 2_000, 6_000]),
    duplicatedFrames: isCalm ? 0 : random.pick([0, 0.05, 0.5]),
    ownerAcceleratorsMax: random.chance(0.15) ? 2 : null,
    intermediatesKeptMs: random.pick([3_000, 3_600_000]),
    later: generation === 1 ? null : laterPlanOf(seed, isCalm),
    third: generation < 3 ? null : thirdPlanOf(seed, isCalm),
  };
}

/** What a seed decides, in a farm of another size. */
export function scenarioOfSize(
  seed: number,
  { nodes, jobs }: { readonly nodes: number; readonly jobs: number },
): Scenario {
  const scenario = scenarioOf(seed);
  const random = new Random(`size ${seed}`);
  const [{ halfMs }] = scenario.nodes as [NodeTraits];
  const traits = Array.from({ length: nodes }, (_, i) => ({
    nodeId: `node-${i + 1}`,
    halfMs: halfMs * random.between(0.7, 1.5),
    planHash: "plan",
  }));
  return { ...scenario, nodes: traits, users: { ...scenario.users, jobs } };
}

function thirdPlanOf(seed: number, isCalm: boolean): ThirdPlan {
  const random = new Random(`third scenario ${seed}`);
  return {
    faults: isCalm ? [] : THIRD_FAULTS.filter(() => random.chance(0.5)),
    faultPauseMs: random.pick([3_000, 8_000, 15_000]),
    hurried: random.pick([0, 0.3, 0.8]),
    runningJobsMax: random.pick([null, null, 1, 2]),
  };
}

function laterPlanOf(seed: number, isCalm: boolean): LaterPlan {
  const random = new Random(`later scenario ${seed}`);
  return {
    faults: isCalm ? [] : LATER_FAULTS.filter(() => random.chance(0.4)),
    faultPauseMs: random.pick([1_500, 4_000, 10_000]),
    snapshotEvents: random.pick([null, 10, 40, 150]),
    cleaning: random.chance(0.6)
      ? { pauseMs: random.pick([700, 5_000]), sparedMs: random.pick([50, 3_000]) }
      : null,
    branched: random.pick([0, 0.2, 0.6]),
  };
}
