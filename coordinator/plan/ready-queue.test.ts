import { expect, test } from "vitest";
import type { ReadyTask } from "./ready-queue.js";
import { ReadyQueue } from "./ready-queue.js";

const task = (taskId: string, change: Partial<ReadyTask> = {}): ReadyTask => ({
  taskId,
  stage: "condition",
  owner: "ann",
  priority: 50,
  ...change,
});

function order(tasks: readonly ReadyTask[], held: Record<string, number> = {}): string[] {
  const queue = new ReadyQueue();
  for (const t of tasks) queue.add(t);
  const counts = { ...held };
  const taken: string[] = [];
  for (const t of queue.inOrder((owner) => counts[owner] ?? 0)) {
    taken.push(t.taskId);
    counts[t.owner] = (counts[t.owner] ?? 0) + 1;
  }
  return taken;
}

test.each<[string, ReadyTask[], Record<string, number>, string[]]>([
  ["first come, first served", [task("a"), task("b")], {}, ["a", "b"]],
  [
    "the stage nearest to the end goes first",
    [
      task("a"),
      task("b", { stage: "mux" }),
      task("c", { stage: "denoise" }),
      task("d", { stage: "decode" }),
    ],
    {},
    ["b", "d", "c", "a"],
  ],
  [
    "a higher priority goes before any stage of a lower one",
    [task("a", { stage: "mux" }), task("b", { priority: 60 })],
    {},
    ["b", "a"],
  ],
  [
    "owners take turns, however many tasks one of them has",
    [
      task("a1"),
      task("a2"),
      task("a3"),
      task("b1", { owner: "bob" }),
      task("b2", { owner: "bob" }),
    ],
    {},
    ["a1", "b1", "a2", "b2", "a3"],
  ],
  [
    "who holds more waits until the other has as much",
    [task("a1"), task("b1", { owner: "bob" }), task("b2", { owner: "bob" })],
    { ann: 2 },
    ["b1", "b2", "a1"],
  ],
])("%s", (_name, tasks, held, expected) => {
  expect(order(tasks, held)).toEqual(expected);
});

test("what is removed is gone, what is added again is last", () => {
  const queue = new ReadyQueue();
  for (const id of ["a", "b", "c"]) queue.add(task(id));
  queue.remove("b");
  queue.remove("b");
  queue.add(task("a"));
  expect([...queue.inOrder(() => 0)].map((t) => t.taskId)).toEqual(["c", "a"]);
  expect([queue.size, queue.countStage("condition"), queue.countStage("mux")]).toEqual([2, 2, 0]);
});
