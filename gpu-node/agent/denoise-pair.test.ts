import * as fc from "fast-check";
import { expect, test } from "vitest";
import { latentsAfter, type PairScenario, simulatePair } from "./denoise-pair-simulation.js";

const calm: PairScenario = {
  seed: 1,
  stepCount: 5,
  loss: 0,
  doubled: 0,
  delayMsMax: 50,
  forged: 0,
  death: null,
};

const scenarios: fc.Arbitrary<PairScenario> = fc.record({
  seed: fc.nat(),
  stepCount: fc.integer({ min: 1, max: 8 }),
  loss: fc.constantFrom(0, 0, 0.1, 0.5, 1),
  doubled: fc.constantFrom(0, 0.5),
  delayMsMax: fc.constantFrom(0, 100, 3_000, 40_000),
  forged: fc.integer({ min: 0, max: 3 }),
  death: fc.option(
    fc.record({ replica: fc.constantFrom(0 as const, 1 as const), atMs: fc.nat(20_000) }),
  ),
});

function expectWhole(scenario: PairScenario): void {
  const outcome = simulatePair(scenario);
  expect(outcome.finisher).not.toBeNull();
  expect(outcome.steps).toEqual(Array.from({ length: scenario.stepCount }, (_, i) => i));
  expect(outcome.latents).toBe(latentsAfter(scenario.stepCount));
}

test("a pair on a calm network never breaks", () => {
  expect(simulatePair(calm)).toMatchObject({ steps: [0, 1, 2, 3, 4], pairsBroken: 0 });
});

test("whatever the network does and whoever dies, every step is made once, from its own halves", () => {
  fc.assert(fc.property(scenarios, expectWhole), { seed: 20_260_601, numRuns: 3_000 });
});

test("a death at any time of a run leaves a survivor that finishes", () => {
  for (const replica of [0, 1] as const) {
    for (let atMs = 0; atMs < 12_000; atMs += 37) {
      expectWhole({ ...calm, seed: atMs, death: { replica, atMs } });
    }
  }
});

test("the scenarios reach what they are for: pairs break, and pairs do not", () => {
  const broken = fc
    .sample(scenarios, { seed: 7, numRuns: 300 })
    .filter((scenario) => simulatePair(scenario).pairsBroken > 0).length;
  expect(broken).toBeGreaterThan(100);
  expect(broken).toBeLessThan(290);
});
