/** What a user is told of a job that nobody works on. */
import { expect, test } from "vitest";
import { FarmWorld, type JobChange, node } from "../../test/plan/farm-world.js";
import { viewJob } from "./view.js";

const GIB = 2 ** 30;

function why(w: FarmWorld, jobId = "j"): readonly string[] {
  return viewJob(w.farm, w.farm.jobs.get(jobId)!, new Map(), w.nowMs).whyNotNow;
}

function world(change: JobChange = {}, ...nodes: Parameters<typeof node>[]): FarmWorld {
  const w = new FarmWorld(...nodes.map((each) => node(...each)));
  w.submit("j", change);
  return w;
}

test("nothing while a node works on it, nor after its end", () => {
  const w = world({}, ["a"]);
  expect(why(w)).toEqual([]);
  w.send({ kind: "job-cancelled", jobId: "j" });
  expect(why(w)).toEqual([]);
});

test("its own reasons come before those of nodes", () => {
  const w = world({ options: { startAfterMs: 100 } }, ["a"]);
  w.send({ kind: "job-paused", jobId: "j" });
  w.submit("next", { options: { dependsOn: ["j"] } });
  expect(why(w)).toEqual(["it is paused", "its start time has not come"]);
  expect(why(w, "next")).toEqual(["it waits for j"]);
});

test("nobody serves its checkpoint", () => {
  expect(why(world())).toEqual(["no connected node serves its checkpoint, demo"]);
});

test("those that serve it may have no work", () => {
  const w = world({ options: { startAfterMs: 100 } }, ["a"], ["b"]);
  w.send({ kind: "node-drained", nodeId: "a" });
  w.send({ kind: "node-stopping", nodeId: "b" });
  w.send({ kind: "job-due", jobId: "j" });
  expect(why(w)).toEqual(["no node may have work: a is draining, b is stopping"]);
});

test("all are busy", () => {
  const w = world({}, ["a"]);
  w.submit("next");
  expect(why(w, "next")).toEqual(["every node that could work on it is busy"]);
});

test("its owner holds as many accelerators as they may", () => {
  const w = new FarmWorld(node("a"), node("b"));
  w.policy = { ownerAcceleratorsMax: 1 };
  w.submit("j");
  w.submit("next");
  expect(why(w, "next")).toEqual(["it is not its turn"]);
});

test("it wants more memory than a node has that is there", () => {
  const w = world({}, ["small", { memoryBytes: 8 * GIB }], ["big", { memoryBytes: 80 * GIB }]);
  w.submit("other");
  const small = w.holder("j-0-condition").nodeId === "small" ? "j" : "other";
  w.fail(`${small}-0-condition`, "out-of-memory");
  w.lose("big");
  expect(why(w, small)).toEqual([
    "its condition waits for a node with more memory than 8.0 GiB, until 1970-01-01T00:10:00.001Z",
  ]);
});

test("nobody can write mp4", () => {
  const w = world({}, ["a"]);
  w.finishUpTo("decode", "j");
  w.lose("a");
  w.send({ kind: "node-joined", node: node("bare", { hasFfmpeg: false }) });
  expect(why(w)).toEqual(["no such node can write mp4"]);
});

test("its files are made and being published", () => {
  const w = world({}, ["a"]);
  w.finishUpTo("mux", "j");
  expect(why(w)).toEqual(["its files are being published"]);
});
