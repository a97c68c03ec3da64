/** The whole farm under faults, in virtual time: fixed seeds, fresh seeds, and planted bugs. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { catchMutation, describeFailure } from "./campaign.js";
import { LATER_MUTATIONS, MUTATIONS, THIRD_MUTATIONS } from "./mutations.js";
import { FAULTS, type Generation, LATER_FAULTS, scenarioOfSize, THIRD_FAULTS } from "./scenario.js";
import { type Outcome, simulate } from "./simulation.js";

const FIXED_SEEDS = 200;
const FRESH_SEEDS = 50;
const MUTATION_SEEDS = 500;

/** Fails with everything that is needed to see it again. */
function run(seed: number, generation: Generation = 3): Outcome {
  const outcome = simulate(seed, { generation });
  if (outcome.failure) throw new Error(describeFailure(outcome));
  return outcome;
}

function seedsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

test(`${FIXED_SEEDS} fixed seeds hold every invariant, and reach what they are for`, () => {
  const totals = new Map<string, number>();
  let events = 0;
  for (const seed of seedsFrom(1, FIXED_SEEDS)) {
    const outcome = run(seed);
    events += outcome.events;
    for (const [what, n] of outcome.counts) totals.set(what, (totals.get(what) ?? 0) + n);
  }
  expect(events / FIXED_SEEDS).toBeGreaterThan(500);
  const reached = [
    ...[...FAULTS, ...LATER_FAULTS, ...THIRD_FAULTS].map((fault) => `fault ${fault}`),
    "pairs granted",
    "pairs_broken_total",
    "task_reports_stale_total",
    "task_yields_total",
    "resumed from a checkpoint",
    "frame dropped: epoch",
    "frame dropped: duplicate",
    "event job-swept",
    "event job-deleted",
    "job branched",
    "snapshot kept",
    "snapshot passed over",
    "restart from a snapshot",
    "second coordinator refused",
    "frame arrives with another bit",
    "rotten blob found",
    "orphan removed",
    "orphan found an owner",
    "input sent again",
    "every link clogged",
    "result made again",
    "wrong bytes at the last step",
    "event job-expired",
    "event job-admitted",
    "job refused: too late",
  ];
  expect(reached.filter((what) => (totals.get(what) ?? 0) < 5)).toEqual([]);
});

test(`${FRESH_SEEDS} fresh seeds hold every invariant`, () => {
  const first = Math.floor(Date.now() / 1000) % 900_000_000;
  console.log(`fresh seeds ${first}..${first + FRESH_SEEDS - 1}`);
  for (const seed of seedsFrom(first, FRESH_SEEDS)) run(seed);
});

const regressions = JSON.parse(
  readFileSync(new URL("regressions.json", import.meta.url), "utf8"),
) as { seed: number; generation?: Generation; found: string }[];

test.each(regressions)("seed $seed, which found: $found", ({ seed, generation = 1 }) => {
  run(seed, generation);
});

test("a farm of a hundred nodes holds every invariant, too", () => {
  const outcome = simulate(1, { scenario: scenarioOfSize(1, { nodes: 100, jobs: 20 }) });
  if (outcome.failure) throw new Error(describeFailure(outcome));
  expect(outcome.counts.get("event node-joined")).toBeGreaterThanOrEqual(100);
});

test("the same seed gives the same trace", () => {
  for (const seed of seedsFrom(1, 10)) {
    expect(simulate(seed).traceHash).toBe(simulate(seed).traceHash);
  }
  expect(simulate(1).traceHash).not.toBe(simulate(2).traceHash);
});

test.each(
  [...MUTATIONS, ...LATER_MUTATIONS, ...THIRD_MUTATIONS].map(
    ({ name, core }) => [name, core] as const,
  ),
)("a planted bug is seen: %s", (_name, core) => {
  expect(catchMutation(core, MUTATION_SEEDS)?.failure).not.toBeUndefined();
});
