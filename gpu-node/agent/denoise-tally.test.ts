import { expect, test } from "vitest";
import { DenoiseTally } from "./denoise-tally.js";

const progress = (stepsDone: number) =>
  ({ kind: "progress", stepsDone, secondsPerStep: 1 }) as const;

/** A step of a pair. */
function makeStep({ observer }: DenoiseTally, computeSeconds: number, waitSeconds: number): void {
  observer.halfMade("cond", computeSeconds);
  observer.waited(waitSeconds);
  observer.combined(0.25);
  observer.stepMade("pair", computeSeconds + waitSeconds + 0.25);
}

test("every step is told with the sums of the grant so far", () => {
  const tally = new DenoiseTally();
  makeStep(tally, 1, 0.5);
  expect(tally.told(1, progress(5))).toEqual({
    ...progress(5),
    spent: {
      ...{ steps: 1, computeSeconds: 1, exchangeSeconds: 0.5 },
      ...{ combineSeconds: 0.25, saveSeconds: 0 },
    },
  });
  tally.observer.saved(0.125);
  makeStep(tally, 2, 0.25);
  expect(tally.told(1, progress(6))).toMatchObject({
    spent: {
      ...{ steps: 2, computeSeconds: 3, exchangeSeconds: 0.75 },
      ...{ combineSeconds: 0.5, saveSeconds: 0.125 },
    },
  });
});

test("a step alone has both halves and no exchange", () => {
  const tally = new DenoiseTally();
  tally.observer.halfMade("uncond", 1);
  tally.observer.halfMade("cond", 2);
  tally.observer.stepMade("single", 3);
  expect(tally.told(1, progress(1))).toMatchObject({
    spent: { steps: 1, computeSeconds: 3, exchangeSeconds: 0 },
  });
});

test("a partner's half that came before the own one cost no wait", () => {
  const tally = new DenoiseTally();
  makeStep(tally, 1, -0.5);
  expect(tally.told(1, progress(1))).toMatchObject({ spent: { exchangeSeconds: 0 } });
});

test("a new grant begins with the step in hand", () => {
  const tally = new DenoiseTally();
  makeStep(tally, 1, 0.5);
  tally.told(1, progress(1));
  makeStep(tally, 3, 0);
  expect(tally.told(2, progress(2))).toMatchObject({
    spent: { steps: 1, computeSeconds: 3, exchangeSeconds: 0 },
  });
});

test("what is no step is told as it is", () => {
  const yielded = { kind: "yielded", checkpoint: null } as const;
  expect(new DenoiseTally().told(1, yielded)).toBe(yielded);
});
