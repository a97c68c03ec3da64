import pino from "pino";
import { expect, test } from "vitest";
import { bothNodeObservers, type NodeObserver, silentNodeObserver } from "./node-observer.js";
import { StepLog } from "./step-log.js";

function logged() {
  const entries: Record<string, unknown>[] = [];
  const stream = { write: (line: string) => entries.push(JSON.parse(line)) };
  return { entries, log: pino({ level: "debug" }, stream) };
}

test("a step of a pair is one line with all that it was spent on, and the next one begins anew", () => {
  const { entries, log } = logged();
  const steps = new StepLog(log);
  for (let step = 1; step <= 2; step++) {
    steps.halfMade("cond", step);
    steps.halfSent(100 * step);
    steps.halfCame();
    steps.waited(0.5);
    steps.combined(0.25);
    steps.stepMade("pair", step + 0.75);
  }
  expect(entries).toMatchObject([
    { plan: "pair", step_s: 1.75, compute_s: 1, wait_s: 0.5, combine_s: 0.25, sent_bytes: 100 },
    { plan: "pair", step_s: 2.75, compute_s: 2, wait_s: 0.5, combine_s: 0.25, sent_bytes: 200 },
  ]);
  const [{ half_made_at: made, partner_half_at: came }] = entries as [Record<string, number>];
  expect(came!).toBeGreaterThanOrEqual(made!);
});

test("a step of one node has both halves and no exchange", () => {
  const { entries, log } = logged();
  const steps = new StepLog(log);
  steps.halfMade("uncond", 1);
  steps.halfMade("cond", 2);
  steps.stepMade("single", 3.5);
  expect(entries).toMatchObject([{ plan: "single", step_s: 3.5, compute_s: 3 }]);
  expect(entries[0]).not.toHaveProperty("sent_bytes");
});

test("whoever looked on before still does", () => {
  const { entries, log } = logged();
  const heard: unknown[] = [];
  const first: NodeObserver = {
    ...silentNodeObserver,
    frameDropped: (reason) => heard.push(reason),
    stepMade: (plan, seconds) => heard.push([plan, seconds]),
  };
  const both = bothNodeObservers(first, new StepLog(log).observer);
  both.frameDropped("late");
  both.stepMade("single", 2);
  expect(heard).toEqual(["late", ["single", 2]]);
  expect(entries).toHaveLength(1);
});
