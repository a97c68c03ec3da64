import { describe, expect, test } from "vitest";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { FarmWorld, node } from "../../test/plan/farm-world.js";
import { PAIR_APART_MS } from "./limits.js";
import type { NodeInfo } from "./node.js";
import { viewJob } from "./view.js";

const image = { key: "inputs/x", sha256: "0".repeat(64), size: 1 };

describe("the life of a clip", () => {
  test("stages follow each other, chunks spread over nodes, publication ends it", () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("j");
    expect(w.holders("j-0-condition")).toEqual(["a"]);
    expect(w.holders("j-0-denoise")).toBe("blocked");
    w.finish("j-0-condition");
    expect(w.holders("j-0-denoise")).toEqual(["a", "b"]);
    w.finish("j-0-denoise");
    expect(["j-0-decode-0", "j-0-decode-1"].map((t) => w.holders(t))).toEqual([["a"], ["b"]]);
    expect(w.holders("j-0-decode-2")).toBe("ready");
    for (const chunk of [0, 1, 2]) w.finish(`j-0-decode-${chunk}`);
    expect(w.holders("j-0-mux")).toEqual(["a"]);
    const effects = w.finish("j-0-mux");
    expect(effects).toContainEqual({
      kind: "publish",
      jobId: "j",
      clipIndex: 0,
      run: 1,
      outputs: [],
    });
    expect(w.farm.jobs.get("j")!.state).toBe("running");
    w.publish("j");
    expect(w.farm.jobs.get("j")!.state).toBe("succeeded");
    expect(w.farm.openJobCount).toBe(0);
  });

  test("the work of a stage names the results of the stage before it", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j", { formats: ["safetensors"] });
    w.finish("j-0-condition");
    w.finish("j-0-denoise");
    const works = w.effects.flatMap((e) => (e.kind === "assign" ? [e.assignment.work] : []));
    expect(works.at(-1)).toMatchObject({
      stage: "decode",
      latents: { key: "out/j-0-denoise" },
      firstFrame: 0,
      frameCount: 2,
      keepFloat: true,
    });
    expect(works.at(-2)).toMatchObject({ conditioning: { key: "out/j-0-condition" }, pair: null });
  });

  test("one clip is decoded on one node while the next is denoised on another", () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("j", { decodeChunkSize: 5, images: 2 });
    w.finish("j-0-condition");
    expect(w.holders("j-0-denoise")).toEqual(["a"]);
    w.finish("j-1-condition");
    expect(w.holders("j-1-denoise")).toEqual(["b"]);
    w.finish("j-0-denoise");
    expect(w.holders("j-0-decode-0")).toEqual(["a"]);
    expect(w.holders("j-1-denoise")).toEqual(["b"]);
  });
});

describe("single or pair", () => {
  const denoisers = (nodes: NodeInfo[], change: Partial<JobParameters>, images = 1) => {
    const w = new FarmWorld(...nodes);
    w.submit("j", { ...change, images });
    for (let i = 0; i < images; i++) {
      if (w.holders(`j-${i}-condition`) !== "ready") w.finish(`j-${i}-condition`);
    }
    return w.holders("j-0-denoise");
  };
  const two = [node("a"), node("b")];
  const strangers = [node("a"), node("b", { planHash: "other" })];

  test.each([
    ["auto: one clip, two nodes", two, {}, 1, ["a", "b"]],
    ["auto: two clips, two nodes", two, {}, 2, ["a"]],
    ["auto: two clips, three nodes", [...two, node("c")], {}, 2, ["a", "c"]],
    ["auto: one node", [node("a")], {}, 1, ["a"]],
    ["never", two, { pair: "never" }, 1, ["a"]],
    ["always: one node alive", [node("a")], { pair: "always" }, 1, ["a"]],
    ["always: a clip waits for its second node", two, { pair: "always" }, 2, ["a", "b"]],
    [
      "always: without guidance there is one half only",
      two,
      { pair: "always", maxGuidanceScale: 1 },
      1,
      ["a"],
    ],
    ["nodes whose bytes would differ are not paired", strangers, { pair: "always" }, 1, ["a"]],
  ] satisfies [string, NodeInfo[], Partial<JobParameters>, number, unknown][])(
    "%s",
    (_name, nodes, change, images, expected) => {
      const holders = denoisers(nodes, change, images);
      expect(holders).toEqual(expected);
    },
  );
});

test("a stage takes no time, rather than less, by a clock that was set back", () => {
  const w = new FarmWorld(node("a"));
  w.submit("j");
  const job = w.farm.jobs.get("j")!;
  const secondsAt = (nowMs: number) =>
    viewJob(w.farm, job, new Map(), nowMs).clips[0]!.stages.map(({ seconds }) => seconds);
  const { firstGrantMs } = w.farm.tasks.get("j-0-condition")!;
  expect(secondsAt(firstGrantMs! + 5_000)).toEqual([5]);
  expect(secondsAt(firstGrantMs! - 5_000)).toEqual([0]);
});

describe("lost nodes", () => {
  const paired = () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("j");
    w.finish("j-0-condition");
    return w;
  };

  test("the survivor of a pair goes on from the same step under a new epoch", () => {
    const w = paired();
    const effects = w.lose("a");
    expect(effects).toContainEqual({
      kind: "continue-alone",
      nodeId: "b",
      taskId: "j-0-denoise",
      epoch: 1,
      newEpoch: 2,
    });
    expect(w.holders("j-0-denoise")).toEqual(["b"]);
    w.send({
      kind: "task-finished",
      taskId: "j-0-denoise",
      nodeId: "b",
      epoch: 2,
      result: { blob: image, outputs: [], seconds: 1, secondsPerStep: 1 },
    });
    expect(w.holders("j-0-decode-0")).toEqual(["b"]);
    expect(viewJob(w.farm, w.farm.jobs.get("j")!, new Map(), 1).clips[0]!.plan).toBe(
      "pair, then single",
    );
  });

  test("both replicas blame each other: the first to speak survives, the other one is free", () => {
    const w = paired();
    const broken = (nodeId: string) =>
      ({
        kind: "pair-broken",
        taskId: "j-0-denoise",
        nodeId,
        epoch: 1,
        step: 2,
        reason: "late",
      }) as never;
    w.send(broken("b"));
    const second = w.send(broken("a"));
    expect(w.holders("j-0-denoise")).toEqual(["b"]);
    expect(w.farm.nodes.get("a")!.gpuTaskId).toBeNull();
    expect(second).toEqual([{ kind: "count", metric: "task_reports_stale_total" }]);
  });

  describe("whose halves do not reach each other", () => {
    const cut = () => {
      const w = paired();
      const effects = w.send({
        kind: "pair-broken",
        ...w.holder("j-0-denoise"),
        step: 2,
        reason: "late",
      });
      return { w, yields: effects.filter((effect) => effect.kind === "yield") };
    };

    test("are not paired again for a minute, neither for this clip nor for another", () => {
      const { w, yields } = cut();
      expect(yields).toEqual([]);
      w.submit("k", { pair: "always" });
      w.finish("k-0-condition");
      expect(w.holders("k-0-denoise")).toEqual(["b"]);
      w.nowMs += PAIR_APART_MS - 1;
      w.finish("k-0-denoise");
      w.finishUpTo("mux", "k");
      expect(w.holders("j-0-denoise")).toEqual(["a"]);
      w.nowMs += 1;
      expect(w.send(null)).toContainEqual(expect.objectContaining({ kind: "yield" }));
    });

    test("but with a third one", () => {
      const { w } = cut();
      const effects = w.send({ kind: "node-joined", node: node("c") });
      expect(effects).toContainEqual(expect.objectContaining({ kind: "yield" }));
      w.yieldAt("j-0-denoise", 2);
      expect(w.holders("j-0-denoise")).toContain("c");
    });

    test("and by an operator's word", () => {
      const { w } = cut();
      expect(w.send({ kind: "node-undrained", nodeId: "a" })).toContainEqual(
        expect.objectContaining({ kind: "yield" }),
      );
    });

    test("and again once one of them has joined anew: it may be another machine", () => {
      const { w } = cut();
      w.lose("b");
      const effects = w.send({ kind: "node-joined", node: node("b", { bootId: "second" }) });
      expect(effects).toContainEqual(expect.objectContaining({ kind: "yield" }));
    });
  });

  test("a lost single node's work goes to another node at once", () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("j", { pair: "never" });
    w.finish("j-0-condition");
    w.lose("a");
    expect(w.holders("j-0-denoise")).toEqual(["b"]);
  });

  test("the end of an older boot's stream does not touch the newer one", () => {
    const w = new FarmWorld(node("a"));
    w.send({ kind: "node-joined", node: node("a", { bootId: "second" }) });
    expect(w.lose("a")).toEqual([]);
    expect(w.farm.nodes.has("a")).toBe(true);
  });

  test("work waits while no node is there and starts when one joins", () => {
    const w = new FarmWorld();
    w.submit("j");
    expect(w.holders("j-0-condition")).toBe("ready");
    w.send({ kind: "node-joined", node: node("a") });
    expect(w.holders("j-0-condition")).toEqual(["a"]);
  });
});

describe("failure and cancellation", () => {
  test("a clip that fails for good leaves the rest of the batch unharmed", () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("j", { images: 2 });
    w.fail("j-0-condition", "invalid-argument");
    expect(w.farm.jobs.get("j")!.clips.map((c) => c.state)).toEqual(["failed", "running"]);
    expect(w.holders("j-0-denoise")).toBe("cancelled");
    w.finish("j-1-condition");
    expect(w.holders("j-1-denoise")).toEqual(["b", "a"].sort());
  });

  test("a retry prefers a node on which the task has not failed", () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("j");
    w.fail("j-0-condition", "runtime-failed");
    expect(w.holders("j-0-condition")).toEqual(["b"]);
  });

  test("cancel frees every node and ends the job once", () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("j");
    w.finish("j-0-condition");
    const effects = w.send({ kind: "job-cancelled", jobId: "j" });
    expect(effects.filter((e) => e.kind === "cancel")).toHaveLength(2);
    expect([...w.farm.nodes.values()].map((n) => n.gpuTaskId)).toEqual([null, null]);
    expect(w.farm.jobs.get("j")!.state).toBe("cancelled");
    expect(w.send({ kind: "job-cancelled", jobId: "j" })).toEqual([]);
    expect(w.farm.openJobCount).toBe(0);
  });
});

test("a restart finds nobody connected, takes the work back and publishes what was cut", () => {
  const w = new FarmWorld(node("a"));
  w.submit("j", { decodeChunkSize: 5 });
  for (const stage of ["condition", "denoise", "decode-0", "mux"]) w.finish(`j-0-${stage}`);
  w.submit("k");
  const effects = w.send({ kind: "farm-started" });
  expect(effects).toContainEqual({
    kind: "publish",
    jobId: "j",
    clipIndex: 0,
    run: 1,
    outputs: [],
  });
  expect(w.holders("k-0-condition")).toBe("ready");
  expect(w.farm.nodes.size).toBe(0);
});

test("the same events give the same farm", () => {
  const run = () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("j", { images: 3 });
    w.finish("j-0-condition");
    w.lose("b");
    return [w.farm.tasks, w.farm.jobs, w.farm.nodes];
  };
  expect(run()).toEqual(run());
});
