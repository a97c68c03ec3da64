/** @file The story of a job, from the events of a farm. */
import { expect, test } from "vitest";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import type { FarmErrorCode } from "../../shared/core/errors.js";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import type { JobLogEntry } from "../../shared/farm/job-log.js";
import { jobParameters, node } from "../../test/plan/farm-world.js";
import type { NewJob } from "../plan/job.js";
import { FarmLoop, POLICY_DEFAULT } from "./farm-loop.js";

const blob = { key: "v1/x", sha256: "1".repeat(64), size: 1 };
const job: NewJob = {
  ...JOB_OPTIONS_DEFAULT,
  ...{ jobId: "j", parameters: { ...jobParameters, decodeChunkSize: 5 }, images: [blob] },
  ...{ modelDigest: node("a").model.digest, modelName: "demo", requestId: "", requestDigest: "" },
  ...{ stepsTotal: 4, branchLatents: null, traceparent: null },
};

class World {
  nowMs = 1_000;
  readonly loop: FarmLoop;

  constructor(journal: MemoryJournal) {
    this.loop = new FarmLoop(journal, () => this.nowMs, POLICY_DEFAULT);
  }

  finish(taskId: string, nodeId: string): Promise<void> {
    const { epoch } = this.loop.farm.tasks.get(taskId)!;
    const result = { blob, outputs: [], seconds: 1.5, secondsPerStep: 0.5 };
    this.nowMs += 1_500;
    return this.loop.dispatch({ kind: "task-finished", taskId, nodeId, epoch, result });
  }

  fail(taskId: string, nodeId: string, code: FarmErrorCode = "runtime-failed"): Promise<void> {
    const { epoch } = this.loop.farm.tasks.get(taskId)!;
    const failure = { code, detail: "gone" } as const;
    return this.loop.dispatch({ kind: "task-failed", taskId, nodeId, epoch, failure });
  }

  async begin(): Promise<void> {
    await this.loop.start(() => {});
    for (const id of ["a", "b"]) await this.loop.dispatch({ kind: "node-joined", node: node(id) });
    await this.loop.dispatch({ kind: "job-created", job });
  }
}

const line = ({ what, task, nodeIds, detail }: JobLogEntry): string =>
  [what, task ? `${task.stage} try ${task.attempt}` : "", nodeIds.join("+"), detail]
    .filter((part) => part !== "")
    .join(", ");

test("a clip's way, with a try that failed and a node of a pair that was lost", async () => {
  const world = new World(new MemoryJournal());
  await world.begin();
  await world.fail("j-0-condition", "a");
  await world.finish("j-0-condition", "b");
  await world.loop.dispatch({ kind: "node-left", nodeId: "b", bootId: "boot-b", stopped: false });
  await world.finish("j-0-denoise", "a");
  await world.finish("j-0-decode-0", "a");
  await world.finish("j-0-mux", "a");
  await world.loop.dispatch({ kind: "clip-published", jobId: "j", clipIndex: 0, run: 1 });
  expect(world.loop.logOf("j").map(line)).toEqual([
    "created",
    "granted, condition try 1, a",
    "running",
    "failed, condition try 1, a, runtime-failed: gone",
    "granted, condition try 2, b",
    "finished, condition try 2, b, 1.5 s",
    "granted, denoise try 1, a+b",
    "node lost, denoise try 1, b, a goes on",
    "finished, denoise try 1, a, 1.5 s",
    "granted, decode try 1, a",
    "finished, decode try 1, a, 1.5 s",
    "granted, mux try 1, a",
    "finished, mux try 1, a, 1.5 s",
    "published, clip 1",
    "succeeded",
  ]);
  const times = world.loop.logOf("j").map(({ atMs }) => atMs);
  expect(times).toEqual([...times].sort((x, y) => x - y));
  expect([times[0], times.at(-1)]).toEqual([1_000, 7_000]);
});

test("who speaks of a grant that is over is not in it", async () => {
  const world = new World(new MemoryJournal());
  await world.begin();
  const before = world.loop.logOf("j").map(line);
  await world.finish("j-0-condition", "b");
  expect(world.loop.logOf("j").map(line)).toEqual(before);
});

test("a coordinator that starts anew reads it from the journal; a job that is deleted has none", async () => {
  const journal = new MemoryJournal();
  const before = new World(journal);
  await before.begin();
  await before.loop.dispatch({ kind: "job-cancelled", jobId: "j" });
  const after = new World(journal);
  await after.loop.start(() => {});
  expect(after.loop.logOf("j")).toEqual(before.loop.logOf("j"));
  expect(after.loop.logOf("j").map(line).at(-1)).toBe("cancelled");
  await after.loop.dispatch({ kind: "job-deleted", jobId: "j" });
  expect(after.loop.logOf("j")).toEqual([]);
});

test("a job that fails with the one that it waits for says so", async () => {
  const world = new World(new MemoryJournal());
  await world.begin();
  await world.loop.dispatch({ kind: "job-created", job: { ...job, jobId: "k", dependsOn: ["j"] } });
  await world.loop.dispatch({ kind: "job-cancelled", jobId: "j" });
  expect(world.loop.logOf("k").map(line)).toEqual([
    "created",
    "failed, dependency-failed: job j, which it depends on, is cancelled",
  ]);
});

test("a task that is given up, for want of a bigger node, and what becomes of its job", async () => {
  const world = new World(new MemoryJournal());
  await world.loop.start(() => {});
  const sized = (id: string, memoryBytes: number) => ({ ...node(id), memoryBytes });
  await world.loop.dispatch({ kind: "node-joined", node: sized("a", 2 ** 30) });
  await world.loop.dispatch({ kind: "job-created", job });
  await world.loop.dispatch({ kind: "node-joined", node: sized("big", 2 ** 34) });
  await world.fail("j-0-condition", "a", "out-of-memory");
  await world.loop.dispatch({
    ...{ kind: "node-left", nodeId: "big", bootId: node("big").bootId, stopped: true },
  });
  world.nowMs += 600_000;
  await world.loop.tick();
  const lines = world.loop.logOf("j").map(line);
  expect(lines.at(-2)).toBe("given up, condition try 2");
  expect(lines.at(-1)).toMatch(
    /^failed, out-of-memory: condition ran out of memory on a node with/,
  );
});

test("a node that goes after its job was cancelled is no loss of that job", async () => {
  const world = new World(new MemoryJournal());
  await world.begin();
  await world.loop.dispatch({ kind: "job-cancelled", jobId: "j" });
  const before = world.loop.logOf("j").map(line);
  await world.loop.dispatch({ kind: "node-left", nodeId: "a", bootId: "boot-a", stopped: false });
  expect(world.loop.logOf("j").map(line)).toEqual(before);
});
