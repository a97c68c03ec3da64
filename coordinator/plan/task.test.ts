import { expect, test } from "vitest";
import type { Task, TaskEvent, TaskState } from "./task.js";
import { reduceTask } from "./task.js";

const result = { blob: null, outputs: [], seconds: 1, secondsPerStep: 0 };
const ready: TaskState = { kind: "ready" };
const blocked: TaskState = { kind: "blocked" };
const onA: TaskState = {
  kind: "granted",
  members: [{ nodeId: "a", half: null }],
  sinceMs: 1_000,
  yielding: false,
  ending: [],
};
const onPair: TaskState = {
  kind: "granted",
  members: [
    { nodeId: "a", half: "uncond" },
    { nodeId: "b", half: "cond" },
  ],
  sinceMs: 1_000,
  yielding: false,
  ending: [],
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
  failures: [],
  memoryAboveBytes: null,
  workedNodeIds: [],
  plans: [],
  origin: null,
  checkpoint: null,
  kept: [],
  firstGrantMs: 5,
  endMs: null,
  ...change,
});

const finished = (nodeId: string, epoch = 3): TaskEvent => ({
  kind: "finished",
  nodeId,
  epoch,
  result,
  atMs: 9_000,
});
const failed = (
  nodeId: string,
  code: "runtime-failed" | "invalid-argument" | "numerical" | "blob-corrupt",
  epoch = 3,
): TaskEvent => ({
  kind: "failed",
  nodeId,
  epoch,
  failure: { code, detail: "why" },
  memory: null,
  atMs: 9_000,
});
const granted: TaskEvent = { kind: "granted", members: [{ nodeId: "a", half: null }], atMs: 9_000 };
const broken = (nodeId: string, epoch = 3): TaskEvent => ({
  kind: "pair-broken",
  nodeId,
  epoch,
  atMs: 9_000,
});
const failedOn = (...nodeIds: string[]) => ({
  failures: nodeIds.map((nodeId) => ({ nodeId, code: "runtime-failed" as const })),
});
const step = (n: number) => ({ step: n, blob: { key: `step-${n}`, sha256: "0", size: 1 } });
const yielded = (nodeId: string, n: number | null, epoch = 3): TaskEvent => ({
  kind: "yielded",
  nodeId,
  epoch,
  checkpoint: n === null ? null : step(n),
  atMs: 9_000,
});
const asked: TaskEvent = { kind: "asked-to-yield", atMs: 9_000 };
const lost = (nodeId: string, isFault = true): TaskEvent => ({
  kind: "node-lost",
  nodeId,
  isFault,
  atMs: 9_000,
});
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
  ["inputs arrive", at(blocked), { kind: "unblocked", atMs: 9_000 }, "ready", 3, []],
  ["inputs arrive twice", at(ready), { kind: "unblocked", atMs: 9_000 }, "ready", 3, [STALE]],
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
  [
    "one of a pair fails: the other one goes on from the same step",
    at(onPair),
    failed("a", "runtime-failed"),
    "granted",
    4,
    ["pairs_broken_total", "continue-alone b 3->4"],
  ],
  [
    "the replicas diverge: neither can be trusted",
    at(onPair),
    failed("a", "numerical"),
    "ready",
    3,
    ["cancel b 3", "task_retries_total"],
  ],
  ["the holder fails for good", at(onA), failed("a", "invalid-argument"), "failed", 3, []],
  ["an older grant fails", at(onA), failed("a", "invalid-argument", 2), "granted", 3, [STALE]],
  [
    "the third distinct node fails",
    at(onA, failedOn("b", "c")),
    failed("a", "runtime-failed"),
    "failed",
    3,
    [],
  ],
  [
    "one of a pair is the third distinct node that fails",
    at(onPair, failedOn("c", "d")),
    failed("a", "runtime-failed"),
    "failed",
    3,
    ["cancel b 3"],
  ],
  [
    "the same node fails a third time",
    at(onA, failedOn("a", "a")),
    failed("a", "runtime-failed"),
    "ready",
    3,
    ["task_retries_total"],
  ],
  [
    "the same node fails a fifth time",
    at(onA, failedOn("a", "a", "a", "a")),
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
  ["its holder leaves as it had said", at(onA), lost("a", false), "ready", 3, []],
  ["a node that has no part is lost", at(onA), lost("b"), "granted", 3, []],
  [
    "the third distinct node is lost with it",
    at(onA, failedOn("b", "c")),
    lost("a"),
    "failed",
    3,
    [],
  ],
  ["asked to give it back", at(onA), asked, "granted", 3, ["yield a 3"]],
  ["asked twice", at({ ...onA, yielding: true }), asked, "granted", 3, []],
  ["a pair is asked", at(onPair), asked, "granted", 3, ["yield a 3", "yield b 3"]],
  ["a decode is short and not asked", at(onA, { stage: "decode" }), asked, "granted", 3, []],
  ["given back", at(onA), yielded("a", 7), "ready", 3, ["task_yields_total"]],
  [
    "one of a pair gives it back",
    at(onPair),
    yielded("b", 7),
    "ready",
    3,
    ["task_yields_total", "cancel a 3"],
  ],
  ["given back under an older grant", at(onA), yielded("a", 7, 2), "granted", 3, [STALE]],
  [
    "a pair that was asked breaks: the survivor is asked again",
    at({ ...onPair, yielding: true }),
    lost("a"),
    "granted",
    4,
    ["pairs_broken_total", "continue-alone b 3->4", "yield b 4"],
  ],
  ["NaN once", at(onA), failed("a", "numerical"), "ready", 3, ["task_retries_total"]],
  [
    "NaN twice",
    at(onA, { failures: [{ nodeId: "b", code: "numerical" }] }),
    failed("a", "numerical"),
    "failed",
    3,
    [],
  ],
  [
    "done again at its owner's word",
    at(done),
    { kind: "reset", blocked: false, atMs: 9_000 },
    "ready",
    3,
    [],
  ],
  [
    "reset while its inputs are missing",
    at(done),
    { kind: "reset", blocked: true, atMs: 9_000 },
    "blocked",
    3,
    [],
  ],
  [
    "reset while somebody works on it",
    at(onA),
    { kind: "reset", blocked: false, atMs: 9_000 },
    "granted",
    3,
    [],
  ],
  [
    "cancelled while a pair works",
    at(onPair),
    { kind: "cancelled", atMs: 9_000 },
    "cancelled",
    3,
    ["cancel a 3", "cancel b 3"],
  ],
  ["cancelled after its end", at(done), { kind: "cancelled", atMs: 9_000 }, "done", 3, []],
];

test.each(cases)("reduceTask: %s", (_name, from, on, to, epoch, expected) => {
  const [next, effects] = reduceTask(from, on);
  expect(next.state.kind).toBe(to);
  expect(next.epoch).toBe(epoch);
  const told = effects.filter((e) => e.kind !== "charge");
  const words = told.map((e) => {
    if (e.kind === "count") return e.metric;
    if (e.kind === "yield") return `yield ${e.nodeId} ${e.epoch}`;
    if (e.kind === "cancel") return `cancel ${e.nodeId} ${e.epoch}`;
    return `continue-alone ${e.nodeId} ${e.epoch}->${e.newEpoch}`;
  });
  expect(words).toEqual(expected);
});

const ending = (nodeId: string, epoch = 3): TaskEvent => ({
  kind: "ending",
  nodeId,
  epoch,
  atMs: 6_000,
});
const endingNodes = ({ state }: Task) =>
  state.kind === "granted" ? state.ending.map(({ nodeId }) => nodeId) : null;

test("a member that only stores has left its accelerator, once, and works on the task all the same", () => {
  const [next, effects] = reduceTask(at(onPair), ending("a"));
  expect([endingNodes(next), effects]).toEqual([["a"], []]);
  expect(reduceTask(next, ending("a"))).toEqual([next, []]);
  expect(endingNodes(reduceTask(next, ending("b"))[0])).toEqual(["a", "b"]);
  expect(reduceTask(next, finished("a"))[0].state.kind).toBe("done");
  for (const stranger of [ending("c"), ending("a", 2)]) {
    expect(reduceTask(at(onPair), stranger)).toEqual([
      at(onPair),
      [{ kind: "count", metric: STALE }],
    ]);
  }
});

test("of a pair that breaks while it stores, the survivor goes on storing", () => {
  const [storing] = reduceTask(reduceTask(at(onPair), ending("a"))[0], ending("b"));
  expect(endingNodes(reduceTask(storing, lost("a"))[0])).toEqual(["b"]);
  expect(endingNodes(reduceTask(storing, failed("b", "runtime-failed"))[0])).toEqual(["a"]);
});

test("a survivor is the only member of the new epoch, and the plan shows what happened", () => {
  const [next] = reduceTask(at(onPair, { plans: ["pair"] }), lost("a"));
  expect(next.state).toMatchObject({ kind: "granted", members: [{ nodeId: "b", half: null }] });
  expect(next.plans).toEqual(["pair", "single"]);
  expect(next.attempts).toBe(3);
});

test("only a later step replaces a checkpoint, and NaN drops it", () => {
  const kept = { ...step(5), atMs: 4_000 };
  const checkpointed = (n: number): TaskEvent => ({
    kind: "checkpointed",
    nodeId: "a",
    epoch: 3,
    checkpoint: step(n),
    atMs: 9_000,
  });
  const from = at(onA, { checkpoint: kept });
  expect(reduceTask(from, checkpointed(4))[0].checkpoint).toEqual(kept);
  expect(reduceTask(from, checkpointed(8))[0].checkpoint).toEqual({ ...step(8), atMs: 9_000 });
  expect(reduceTask(from, yielded("a", 9))[0].checkpoint?.step).toBe(9);
  expect(reduceTask(from, checkpointed(8))[0].kept).toEqual([step(8)]);
  expect(reduceTask(from, lost("a"))[0].checkpoint).toEqual(kept);
  expect(reduceTask(from, failed("a", "numerical"))[0].checkpoint).toBeNull();
  expect(reduceTask(from, failed("a", "blob-corrupt"))[0].checkpoint).toBeNull();
  const branched = { ...from, origin: step(2) };
  expect(reduceTask(branched, failed("a", "numerical"))[0].checkpoint?.step).toBe(2);
});

test("members are charged to their end; what a checkpoint saved is not wasted", () => {
  const charges = (from: Task, on: TaskEvent) =>
    reduceTask(from, on)[1].flatMap((e) => (e.kind === "charge" ? [[e.used, e.wasted]] : []));
  expect(charges(at(onA), finished("a"))).toEqual([[8, 0]]);
  expect(charges(at(onPair), finished("a"))).toEqual([
    [8, 0],
    [8, 0],
  ]);
  expect(charges(at(onA), failed("a", "runtime-failed"))).toEqual([[8, 8]]);
  const saved = at(onA, { checkpoint: { ...step(5), atMs: 6_000 } });
  expect(charges(saved, lost("a"))).toEqual([[8, 3]]);
  expect(charges(at(onA), yielded("a", 7))).toEqual([[8, 0]]);
  expect(charges(at(onPair), lost("a"))).toEqual([[8, 0]]);
  expect(charges(at(onA), finished("b"))).toEqual([]);
  // What it stores does not hold its accelerator.
  const storing = reduceTask(at(onPair), ending("a"))[0];
  expect(charges(storing, finished("b"))).toEqual([
    [5, 0],
    [8, 0],
  ]);
  expect(charges(storing, lost("a"))).toEqual([[5, 0]]);
  expect(charges(reduceTask(at(onA), ending("a"))[0], lost("a"))).toEqual([[5, 5]]);
});
