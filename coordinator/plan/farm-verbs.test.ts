/** What users and operators may ask of jobs and nodes, and how the scheduler answers. */
import { describe, expect, test } from "vitest";
import { FarmWorld, node } from "../../test/plan/farm-world.js";
import { planHousekeeping } from "./housekeeping.js";
import { FAILED_JOBS_OF_NODE_MAX, NODE_HOLD_DOWN_MS } from "./limits.js";

const keep = { intermediatesKeptMs: 1_000, outputsKeptMs: 5_000 };
const jobState = (w: FarmWorld, jobId: string) => w.farm.jobs.get(jobId)?.state;

describe("a job that may not start yet", () => {
  test("waits for its time", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j", { options: { startAfterMs: 100 } });
    expect(w.holders("j-0-condition")).toBe("ready");
    expect(planHousekeeping(w.farm, keep, 99)).toEqual([]);
    expect(planHousekeeping(w.farm, keep, 100)).toEqual([{ kind: "job-due", jobId: "j" }]);
    w.send({ kind: "job-due", jobId: "j" });
    expect(w.holders("j-0-condition")).toEqual(["a"]);
    expect(planHousekeeping(w.farm, keep, 200)).toEqual([]);
  });

  test("waits for its time also when it is retried before it", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j", { options: { startAfterMs: 100 } });
    w.send({ kind: "job-cancelled", jobId: "j" });
    w.send({ kind: "job-retried", jobId: "j", what: { kind: "job" } });
    expect(planHousekeeping(w.farm, keep, 100)).toEqual([{ kind: "job-due", jobId: "j" }]);
  });

  test("waits for the jobs that it depends on", () => {
    const w = new FarmWorld(node("a"));
    w.submit("first");
    w.submit("second", { options: { dependsOn: ["first"] } });
    w.finishUpTo("mux", "first");
    expect(w.holders("second-0-condition")).toBe("ready");
    w.publish("first");
    expect(w.holders("second-0-condition")).toEqual(["a"]);
  });

  test("fails with the job that it depends on, and so do those that depend on it", () => {
    const w = new FarmWorld(node("a"));
    w.submit("first");
    w.submit("second", { options: { dependsOn: ["first"] } });
    w.submit("third", { options: { dependsOn: ["second"] } });
    w.fail("first-0-condition", "invalid-argument");
    expect(["first", "second", "third"].map((id) => jobState(w, id))).toEqual(
      Array.from({ length: 3 }, () => "failed"),
    );
    expect(w.farm.jobs.get("third")?.clips[0]?.failure?.code).toBe("dependency-failed");
    expect(w.farm.openJobCount).toBe(0);
  });
});

describe("a job that depends on one that has ended badly", () => {
  const failed = () => {
    const w = new FarmWorld(node("a"));
    w.submit("first");
    w.fail("first-0-condition", "invalid-argument");
    w.submit("second", { options: { dependsOn: ["first"] } });
    return w;
  };

  test("fails at once: nobody would tell it any more", () => {
    const w = failed();
    expect(jobState(w, "second")).toBe("failed");
    expect(w.farm.openJobCount).toBe(0);
  });

  test("waits when it is retried after that one, and goes on with its success", () => {
    const w = failed();
    w.send({ kind: "job-retried", jobId: "second", what: { kind: "job" } });
    expect(jobState(w, "second")).toBe("failed");
    w.send({ kind: "job-retried", jobId: "first", what: { kind: "job" } });
    w.send({ kind: "job-retried", jobId: "second", what: { kind: "job" } });
    expect(w.holders("second-0-condition")).toBe("ready");
    w.finishUpTo("mux", "first");
    w.publish("first");
    expect(w.holders("second-0-condition")).toEqual(["a"]);
  });
});

describe("pause and resume", () => {
  test("what is denoised stops at its next step and goes on from there", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.finish("j-0-condition");
    const effects = w.send({ kind: "job-paused", jobId: "j" });
    expect(effects).toContainEqual({
      kind: "yield",
      nodeId: "a",
      taskId: "j-0-denoise",
      epoch: 1,
    });
    w.yieldAt("j-0-denoise", 3);
    expect(w.holders("j-0-denoise")).toBe("ready");
    const resumed = w.send({ kind: "job-resumed", jobId: "j" });
    expect(resumed).toContainEqual(
      expect.objectContaining({
        kind: "assign",
        assignment: expect.objectContaining({
          epoch: 2,
          work: expect.objectContaining({ resume: expect.objectContaining({ step: 3 }) }),
        }),
      }),
    );
    expect(w.farm.tasks.get("j-0-denoise")?.failures).toEqual([]);
  });

  test("a short stage runs to its end, and its successor waits", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.send({ kind: "job-paused", jobId: "j" });
    w.finish("j-0-condition");
    expect(w.holders("j-0-denoise")).toBe("ready");
    w.send({ kind: "job-resumed", jobId: "j" });
    expect(w.holders("j-0-denoise")).toEqual(["a"]);
  });
});

describe("priority", () => {
  test("a more urgent job takes the node of a lesser one at a step boundary", () => {
    const w = new FarmWorld(node("a"));
    w.submit("slow");
    w.finish("slow-0-condition");
    const effects = w.submit("urgent", { options: { priority: 90 } });
    expect(effects).toContainEqual(
      expect.objectContaining({ kind: "yield", taskId: "slow-0-denoise" }),
    );
    // It is asked once, however much happens until then.
    expect(w.send(null)).toEqual([]);
    w.yieldAt("slow-0-denoise", 2);
    expect(w.holders("urgent-0-condition")).toEqual(["a"]);
    w.finishUpTo("mux", "urgent");
    w.publish("urgent");
    expect(w.holders("slow-0-denoise")).toEqual(["a"]);
    expect(w.farm.tasks.get("slow-0-denoise")?.checkpoint?.step).toBe(2);
  });

  test.each([
    ["equal", 50],
    ["lower", 10],
  ])("a job of %s priority waits", (_name, priority) => {
    const w = new FarmWorld(node("a"));
    w.submit("first");
    w.finish("first-0-condition");
    const effects = w.submit("second", { options: { priority } });
    expect(effects.filter((e) => e.kind === "yield")).toEqual([]);
  });

  test("of several running jobs the least urgent gives way", () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("x", { pair: "never", options: { priority: 40 } });
    w.submit("y", { pair: "never", options: { priority: 30 } });
    w.finish("x-0-condition");
    w.finish("y-0-condition");
    const effects = w.submit("urgent", { options: { priority: 50 } });
    expect(effects.flatMap((e) => (e.kind === "yield" ? [e.taskId] : []))).toEqual(["y-0-denoise"]);
  });

  test("a changed priority moves what waits", () => {
    const w = new FarmWorld(node("a"));
    w.submit("running");
    w.submit("x");
    w.submit("y");
    w.send({ kind: "job-prioritized", jobId: "y", priority: 60 });
    w.fail("running-0-condition", "invalid-argument");
    expect(w.holders("y-0-condition")).toEqual(["a"]);
    expect(w.holders("x-0-condition")).toBe("ready");
  });
});

describe("owners", () => {
  test("take turns, however much one of them has queued", () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("ann", { images: 5, pair: "never", options: { owner: "ann" } });
    w.submit("bob", { pair: "never", options: { owner: "bob" } });
    w.finish("ann-0-condition");
    expect(w.holders("ann-0-denoise")).toBe("ready");
    expect(w.holders("bob-0-condition")).toEqual(["a"]);
  });

  test("hold no more accelerators than they may", () => {
    const w = new FarmWorld();
    w.policy = { ownerAcceleratorsMax: 1 };
    for (const nodeId of ["a", "b"]) w.send({ kind: "node-joined", node: node(nodeId) });
    w.submit("j", { images: 2 });
    expect([w.holders("j-0-condition"), w.holders("j-1-condition")]).toEqual([["a"], "ready"]);
    w.finish("j-0-condition");
    // A pair would be two.
    expect(w.holders("j-0-denoise")).toEqual(["a"]);
  });
});

describe("a node that has nothing to do", () => {
  test("joins a clip that is denoised by one node, from its next step on", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.finish("j-0-condition");
    const effects = w.send({ kind: "node-joined", node: node("b") });
    expect(effects).toContainEqual(
      expect.objectContaining({ kind: "yield", taskId: "j-0-denoise" }),
    );
    w.yieldAt("j-0-denoise", 2);
    expect(w.holders("j-0-denoise")).toEqual(["a", "b"]);
    expect(w.farm.tasks.get("j-0-denoise")?.plans).toEqual(["single", "pair"]);
  });

  test.each([
    ["its bytes would differ", { planHash: "other" }, {}],
    ["the job wants no pair", {}, { pair: "never" as const }],
    ["there is no guidance", {}, { maxGuidanceScale: 1 }],
  ])("does not when %s", (_name, info, change) => {
    const w = new FarmWorld(node("a"));
    w.submit("j", change);
    w.finish("j-0-condition");
    expect(w.send({ kind: "node-joined", node: node("b", info) })).toEqual([]);
  });

  test("takes other work first", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j", { images: 2 });
    w.finish("j-0-condition");
    const effects = w.send({ kind: "node-joined", node: node("b") });
    expect(effects.filter((e) => e.kind === "yield")).toEqual([]);
    expect(w.holders("j-1-condition")).toEqual(["b"]);
  });
});

describe("drain", () => {
  test("gives back what it denoises, gets nothing new, and works again when undrained", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.finish("j-0-condition");
    const effects = w.send({ kind: "node-drained", nodeId: "a" });
    expect(effects).toContainEqual(
      expect.objectContaining({ kind: "yield", taskId: "j-0-denoise" }),
    );
    w.yieldAt("j-0-denoise", 3);
    expect(w.holders("j-0-denoise")).toBe("ready");
    w.send({ kind: "node-undrained", nodeId: "a" });
    expect(w.holders("j-0-denoise")).toEqual(["a"]);
    expect(w.farm.tasks.get("j-0-denoise")?.failures).toEqual([]);
  });

  test("a drained node stays drained when it joins again; one that only stopped does not", () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.send({ kind: "node-drained", nodeId: "a" });
    w.send({ kind: "node-stopping", nodeId: "b" });
    for (const nodeId of ["a", "b"]) {
      w.send({ kind: "node-left", nodeId, bootId: `boot-${nodeId}`, stopped: true });
      w.send({ kind: "node-joined", node: node(nodeId, { bootId: "next" }) });
    }
    w.submit("j");
    expect(w.holders("j-0-condition")).toEqual(["b"]);
  });
});

describe("nodes that fail", () => {
  test("are quarantined after failures of several jobs, and the jobs go on elsewhere", () => {
    const w = new FarmWorld(node("bad"));
    const jobIds = Array.from({ length: FAILED_JOBS_OF_NODE_MAX }, (_, i) => `j${i}`);
    for (const jobId of jobIds) {
      w.submit(jobId);
      w.fail(`${jobId}-0-condition`, "runtime-failed");
      w.send({ kind: "job-paused", jobId });
      w.fail(`${jobId}-0-condition`, "runtime-failed");
    }
    for (const jobId of jobIds) w.send({ kind: "job-resumed", jobId });
    expect(jobIds.map((id) => w.holders(`${id}-0-condition`))).toEqual(jobIds.map(() => "ready"));
    w.send({ kind: "node-joined", node: node("good") });
    expect(w.holders("j0-0-condition")).toEqual(["good"]);
  });

  test("that come and go are held down for a while", () => {
    const w = new FarmWorld();
    w.submit("j");
    for (let i = 0; i < 3; i++) {
      w.send({ kind: "node-joined", node: node("a") });
      w.lose("a");
    }
    w.send({ kind: "node-joined", node: node("a") });
    expect(w.holders("j-0-condition")).toBe("ready");
    w.nowMs += NODE_HOLD_DOWN_MS;
    w.send(null);
    expect(w.holders("j-0-condition")).toEqual(["a"]);
  });
});
