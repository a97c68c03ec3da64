import { expect, test } from "vitest";
import type { Task, TaskEvent, TaskState } from "./task.js";
import { reduceTask } from "./task.js";

const result = { blob: null, outputs: [], seconds: 1, secondsPerStep: 0 };
const ready: TaskState = { kind: "ready" };
const blocked: TaskState = { kind: "blocked" };
const onA: TaskState = { kind: "granted", members: [{ nodeId: "a", half: null }] };
const onPair: TaskState = {
  kind: "granted",
  members: [
    { nodeId: "a", half: "uncond" },
    { nodeId: "b", half: "cond" },
  ],
};
const done: TaskState = { kind: "done", result };

/** A task in its third grant. */
const at = (state: TaskState, change: Partial<Task> = {}): Task => ({
  taskId: "t",
  jobId: "j",
  clipIndex: 0,
  stage: "denoise",
  chunkIndex: 0,
  state,
  epoch: 3,
  attempts: 3,
  failedNodeIds: [],
  workedNodeIds: [],
  plans: [],
  firstGrantMs: 5,
  endMs: null,
  ...change,
});

const finished = (nodeId: string, epoch = 3): TaskEvent => ({
  kind: "finished",
  nodeId,
  epoch,
  result,
  atMs: 9,
});
const failed = (nodeId: string, code: "runtime-failed" | "invalid-argument", epoch = 3) =>
  ({ kind: "failed", nodeId, epoch, failure: { code, detail: "why" }, atMs: 9 }) as const;
const granted: TaskEvent = { kind: "granted", members: [{ nodeId: "a", half: null }], atMs: 9 };
const broken = (nodeId: string, epoch = 3): TaskEvent => ({ kind: "pair-broken", nodeId, epoch });
const lost = (nodeId: string): TaskEvent => ({ kind: "node-lost", nodeId, atMs: 9 });
const STALE = "task_reports_stale_total";

type Case = [
  name: string,
  from: Task,
  on: TaskEvent,
  to: TaskState["kind"],
  epoch: number,
  effects: readonly string[],
];
const cases: Case[] = [
  ["inputs arrive", at(blocked), { kind: "unblocked" }, "ready", 3, []],
  ["inputs arrive twice", at(ready), { kind: "unblocked" }, "ready", 3, [STALE]],
  ["a grant opens the next epoch", at(ready), granted, "granted", 4, []],
  ["a grant of what is granted", at(onA), granted, "granted", 3, [STALE]],
  ["the holder finishes", at(onA), finished("a"), "done", 3, []],
  ["another node finishes", at(onA), finished("b"), "granted", 3, [STALE]],
  ["an older grant finishes", at(onA), finished("a", 2), "granted", 3, [STALE]],
  ["a second end", at(done), finished("a"), "done", 3, [STALE]],
  ["one of a pair finishes", at(onPair), finished("b"), "done", 3, ["cancel a 3"]],
  [
    "the holder fails in a way that another try may mend",
    at(onA),
    failed("a", "runtime-failed"),
    "ready",
    3,
    ["task_retries_total"],
  ],
  ["the holder fails for good", at(onA), failed("a", "invalid-argument"), "failed", 3, []],
  ["an older grant fails", at(onA), failed("a", "invalid-argument", 2), "granted", 3, [STALE]],
  [
    "the third distinct node fails",
    at(onA, { failedNodeIds: ["b", "c"] }),
    failed("a", "runtime-failed"),
    "failed",
    3,
    [],
  ],
  [
    "the same node fails a third time",
    at(onA, { failedNodeIds: ["a", "a"] }),
    failed("a", "runtime-failed"),
    "ready",
    3,
    ["task_retries_total"],
  ],
  [
    "the same node fails a fifth time",
    at(onA, { failedNodeIds: ["a", "a", "a", "a"] }),
    failed("a", "runtime-failed"),
    "failed",
    3,
    [],
  ],
  [
    "a replica loses its partner",
    at(onPair),
    broken("b"),
    "granted",
    4,
    ["pairs_broken_total", "cancel a 3", "continue-alone b 3->4"],
  ],
  [
    "the second replica says so too late",
    at(onA, { epoch: 4 }),
    broken("b"),
    "granted",
    4,
    [STALE],
  ],
  ["a single node cannot lose a partner", at(onA), broken("a"), "granted", 3, [STALE]],
  [
    "one of a pair is lost",
    at(onPair),
    lost("a"),
    "granted",
    4,
    ["pairs_broken_total", "continue-alone b 3->4"],
  ],
  ["the only holder is lost", at(onA), lost("a"), "ready", 3, ["task_retries_total"]],
  ["a node that has no part is lost", at(onA), lost("b"), "granted", 3, []],
  [
    "the third distinct node is lost with it",
    at(onA, { failedNodeIds: ["b", "c"] }),
    lost("a"),
    "failed",
    3,
    [],
  ],
  [
    "cancelled while a pair works",
    at(onPair),
    { kind: "cancelled", atMs: 9 },
    "cancelled",
    3,
    ["cancel a 3", "cancel b 3"],
  ],
  ["cancelled after its end", at(done), { kind: "cancelled", atMs: 9 }, "done", 3, []],
];

test.each(cases)("reduceTask: %s", (_name, from, on, to, epoch, expected) => {
  const [next, effects] = reduceTask(from, on);
  expect(next.state.kind).toBe(to);
  expect(next.epoch).toBe(epoch);
  const words = effects.map((e) => {
    if (e.kind === "count") return e.metric;
    if (e.kind === "cancel") return `cancel ${e.nodeId} ${e.epoch}`;
    return `continue-alone ${e.nodeId} ${e.epoch}->${e.newEpoch}`;
  });
  expect(words).toEqual(expected);
});

test("a survivor is the only member of the new epoch, and the plan shows what happened", () => {
  const [next] = reduceTask(at(onPair, { plans: ["pair"] }), lost("a"));
  expect(next.state).toEqual({ kind: "granted", members: [{ nodeId: "b", half: null }] });
  expect(next.plans).toEqual(["pair", "single"]);
  expect(next.attempts).toBe(3);
});
