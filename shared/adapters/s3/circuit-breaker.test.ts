import { expect, test } from "vitest";
import { CircuitBreaker } from "./circuit-breaker.js";

type Step = "admit" | "refuse" | "succeeded" | "failed" | number;

/** A number lets so many milliseconds pass. */
const cases: [name: string, steps: Step[]][] = [
  ["a closed one admits, whatever failed once", ["admit", "failed", "admit", "failed", "admit"]],
  ["three failures in a row open it", ["failed", "failed", "failed", "refuse"]],
  [
    "a success between them starts the count anew",
    ["failed", "failed", "succeeded", "failed", "failed", "admit"],
  ],
  ["it stays open for its time", ["failed", "failed", "failed", 999, "refuse"]],
  ["then one may try and others not", ["failed", "failed", "failed", 1_000, "admit", "refuse"]],
  [
    "a try that succeeds closes it",
    ["failed", "failed", "failed", 1_000, "admit", "succeeded", "admit", "failed", "admit"],
  ],
  [
    "a try that fails opens it anew",
    ["failed", "failed", "failed", 1_000, "admit", "failed", 999, "refuse", 1, "admit"],
  ],
  [
    "late failures do not keep it open for longer",
    ["failed", "failed", "failed", 900, "failed", 100, "admit"],
  ],
];

test.each(cases)("CircuitBreaker: %s", (_name, steps) => {
  let nowMs = 0;
  const breaker = new CircuitBreaker({ failuresMax: 3, openMs: 1_000 }, () => nowMs);
  for (const [i, step] of steps.entries()) {
    if (typeof step === "number") nowMs += step;
    else if (step === "succeeded" || step === "failed") breaker[step]();
    else expect(breaker.admit(), `step ${i}`).toBe(step === "admit");
  }
});
