import * as fc from "fast-check";
import { expect, test } from "vitest";
import { latentsAfter, type PairScenario, simulatePair } from "./denoise-pair-simulation.js";

const calm: PairScenario = {
  seed: 1,
  stepCount: 5,
  pairShare: 1,
  loss: 0,
  doubled: 0,
  delayMsMax: 50,
  forged: 0,
  death: null,
  yieldsAtMs: [],
  saveMsMax: 20,
  saveLoss: 0,
};

const scenarios: fc.Arbitrary<PairScenario> = fc.record({
  seed: fc.nat(),
  stepCount: fc.integer({ min: 1, max: 12 }),
  pairShare: fc.constantFrom(0, 0.5, 1, 1),
  loss: fc.constantFrom(0, 0, 0.1, 0.5, 1),
  doubled: fc.constantFrom(0, 0.5),
  delayMsMax: fc.constantFrom(0, 100, 3_000, 40_000),
  forged: fc.integer({ min: 0, max: 3 }),
  death: fc.option(fc.record({ nodeId: fc.nat(2), atMs: fc.nat(20_000) })),
  yieldsAtMs: fc.array(fc.nat(30_000), { maxLength: 5 }),
  saveMsMax: fc.constantFrom(0, 50, 3_000, 20_000),
  saveLoss: fc.constantFrom(0, 0, 0.3, 1),
});

function expectWhole(scenario: PairScenario): void {
  const outcome = simulatePair(scenario);
  expect(outcome.finisher).not.toBeNull();
  expect(outcome.steps).toEqual(Array.from({ length: scenario.stepCount }, (_, i) => i));
  expect(outcome.latents).toBe(latentsAfter(scenario.stepCount));
  if (scenario.forged === 0) expect(outcome.diverged).toBe(0);
}

test("a pair on a calm network never breaks", () => {
  expect(simulatePair(calm)).toMatchObject({ steps: [0, 1, 2, 3, 4], pairsBroken: 0 });
});

test("whatever the network and the store do, whoever dies, whenever the clip is wanted back: every step of it is made once, from its own halves", () => {
  fc.assert(fc.property(scenarios, expectWhole), { seed: 20_260_601, numRuns: 3_000 });
});

test("a death at any time of a run leaves a survivor that finishes", () => {
  for (const nodeId of [0, 1, 2]) {
    for (let atMs = 0; atMs < 12_000; atMs += 37) {
      expectWhole({ ...calm, seed: atMs, death: { nodeId, atMs } });
    }
  }
});

test("a clip that is wanted back again and again on single nodes: no step is ever made twice", () => {
  for (let everyMs = 700; everyMs < 6_000; everyMs += 37) {
    const yieldsAtMs = Array.from({ length: 20 }, (_, i) => (i + 1) * everyMs);
    const scenario = { ...calm, seed: everyMs, stepCount: 12, pairShare: 0, yieldsAtMs };
    expectWhole(scenario);
    expect(simulatePair(scenario).stepsMade).toBe(12);
  }
});

test("a pair that is wanted back at any time loses a step at most", () => {
  for (let atMs = 0; atMs < 12_000; atMs += 37) {
    const scenario = { ...calm, seed: atMs, yieldsAtMs: [atMs, atMs + 3_000] };
    expectWhole(scenario);
    expect(simulatePair(scenario).lostByYieldMax).toBeLessThanOrEqual(1);
  }
});

test("the scenarios reach what they are for", () => {
  const outcomes = fc.sample(scenarios, { seed: 7, numRuns: 300 }).map(simulatePair);
  const broken = outcomes.filter(({ pairsBroken }) => pairsBroken > 0).length;
  expect(broken).toBeGreaterThan(50);
  expect(broken).toBeLessThan(250);
  expect(outcomes.filter(({ yields }) => yields >= 2).length).toBeGreaterThan(50);
  expect(outcomes.filter(({ resumed }) => resumed > 0).length).toBeGreaterThan(50);
});
