/** What a denoising's time went into, as the bars of the console's timeline and their words have it. */
import { expect, test } from "vitest";
import {
  restWords,
  sharesOf,
  spentWords,
  stretchesOf,
} from "../../console/src/parts/timeline-parts.js";

const spent = {
  ...{ steps: 8, computeSeconds: 2, exchangeSeconds: 1 },
  ...{ combineSeconds: 0.25, saveSeconds: 0.5 },
};
const shown = (seconds: number) => `${seconds} s`;

test("a bar is divided in the proportions of what was measured; the remainder is the rest", () => {
  expect(stretchesOf(10_000, 14_000, spent)).toEqual([
    { part: "compute", startMs: 10_000, endMs: 12_000 },
    { part: "exchange", startMs: 12_000, endMs: 13_000 },
    { part: "rest", startMs: 13_000, endMs: 14_000 },
  ]);
});

test("a node alone has no exchange", () => {
  const alone = { ...spent, exchangeSeconds: 0 };
  expect(stretchesOf(0, 4_000, alone).map(({ part }) => part)).toEqual(["compute", "rest"]);
  expect(spentWords(alone, 4, false, shown)).toBe("computed 2 s, rest 2 s");
});

test("what was measured never leaves the bar, and keeps its proportions", () => {
  expect(sharesOf(spent, 1.5)).toEqual({ compute: 1, exchange: 0.5, rest: 0 });
  expect(stretchesOf(0, 1_500, spent).at(-1)).toEqual({
    part: "exchange",
    startMs: 1_000,
    endMs: 1_500,
  });
});

test("a bar of which nothing is known, or without length, is not divided", () => {
  expect(stretchesOf(0, 4_000, null)).toEqual([]);
  expect(stretchesOf(4_000, 4_000, spent)).toEqual([]);
});

test("the same in words", () => {
  expect(spentWords(spent, 4, true, shown)).toBe(
    "computed 2 s, waited for the partner's half 1 s, rest 1 s",
  );
  expect(restWords(spent, shown)).toBe(
    "8 steps: guidance and Euler step 0.25 s; saving latents meanwhile 0.5 s",
  );
  expect(restWords({ ...spent, steps: 1, saveSeconds: 0 }, shown)).toBe(
    "1 step: guidance and Euler step 0.25 s",
  );
});
