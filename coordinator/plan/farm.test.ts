import { describe, expect, test } from "vitest";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { ModelInfo } from "../../shared/farm/work.js";
import type { FarmEffect, FarmEvent } from "./events.js";
import type { Farm } from "./farm.js";
import { emptyFarm, reduceFarm } from "./farm.js";
import type { NodeInfo } from "./node.js";
import { planGrants } from "./schedule.js";
import { viewJob } from "./view.js";

const model: ModelInfo = {
  digest: "d".repeat(64),
  name: "demo",
  numFrames: 14,
  sampleSize: 16,
  vaeScaleFactor: 4,
  latentChannels: 4,
  numTrainTimesteps: 1000,
};
const node = (nodeId: string, change: Partial<NodeInfo> = {}): NodeInfo => ({
  nodeId,
  bootId: `boot-${nodeId}`,
  model,
  provider: "cpu",
  planHash: "equal",
  busAddress: `${nodeId}:1`,
  busToken: "t",
  hasFfmpeg: true,
  ...change,
});
const parameters: JobParameters = {
  height: 64,
  width: 64,
  numFrames: 5,
  numInferenceSteps: 4,
  sigmas: null,
  minGuidanceScale: 1,
  maxGuidanceScale: 3,
  fps: 7,
  motionBucketId: 127,
  noiseAugStrength: 0.02,
  decodeChunkSize: 2,
  numVideosPerPrompt: 1,
  seeds: [42n],
  latents: null,
  formats: ["mp4"],
  pair: "auto",
};
const image = { key: "inputs/x", sha256: "0".repeat(64), size: 1 };

/** A farm whose every event is stepped and scheduled as the shell does it. */
function world(...nodes: NodeInfo[]) {
  const farm = emptyFarm();
  const effects: FarmEffect[] = [];
  const assigned = new Map<string, { nodeId: string; epoch: number }[]>();
  const send = (event: Omit<FarmEvent, "atMs"> & { kind: FarmEvent["kind"] }): FarmEffect[] => {
    const now = reduceFarm(farm, { ...event, atMs: 1 } as FarmEvent);
    for (const grant of planGrants(farm)) {
      now.push(...reduceFarm(farm, { kind: "task-granted", ...grant, atMs: 1 }));
    }
    for (const e of now) {
      if (e.kind !== "assign") continue;
      const { taskId, epoch } = e.assignment;
      const holders = (assigned.get(taskId) ?? []).filter((h) => h.epoch === epoch);
      assigned.set(taskId, [...holders, { nodeId: e.nodeId, epoch }]);
    }
    effects.push(...now);
    return now;
  };
  for (const info of nodes) send({ kind: "node-joined", node: info } as never);
  const submit = (jobId: string, change: Partial<JobParameters> = {}, images = 1) =>
    send({
      kind: "job-created",
      job: {
        jobId,
        parameters: { ...parameters, ...change },
        images: Array.from({ length: images }, () => image),
        modelDigest: model.digest,
        modelName: model.name,
        requestId: "",
      },
    } as never);
  const finish = (taskId: string, nodeId?: string) => {
    const holder = assigned.get(taskId)![0]!;
    const blob = { key: `out/${taskId}`, sha256: "1".repeat(64), size: 1 };
    const result = { blob, outputs: [], seconds: 1, secondsPerStep: 0.5 };
    return send({
      kind: "task-finished",
      taskId,
      ...holder,
      nodeId: nodeId ?? holder.nodeId,
      result,
    } as never);
  };
  return { farm, send, submit, finish, assigned, effects };
}

const holdersOf = (farm: Farm, taskId: string) => {
  const state = farm.tasks.get(taskId)!.state;
  return state.kind === "granted" ? state.members.map((m) => m.nodeId) : state.kind;
};

describe("the life of a clip", () => {
  test("stages follow each other, chunks spread over nodes, publication ends it", () => {
    const w = world(node("a"), node("b"));
    w.submit("j");
    expect(holdersOf(w.farm, "j-0-condition")).toEqual(["a"]);
    expect(holdersOf(w.farm, "j-0-denoise")).toBe("blocked");
    w.finish("j-0-condition");
    expect(holdersOf(w.farm, "j-0-denoise")).toEqual(["a", "b"]);
    w.finish("j-0-denoise");
    expect(["j-0-decode-0", "j-0-decode-1"].map((t) => holdersOf(w.farm, t))).toEqual([
      ["a"],
      ["b"],
    ]);
    expect(holdersOf(w.farm, "j-0-decode-2")).toBe("ready");
    for (const chunk of [0, 1, 2]) w.finish(`j-0-decode-${chunk}`);
    expect(holdersOf(w.farm, "j-0-mux")).toEqual(["a"]);
    const effects = w.finish("j-0-mux");
    expect(effects).toContainEqual({ kind: "publish", jobId: "j", clipIndex: 0, outputs: [] });
    expect(w.farm.jobs.get("j")!.state).toBe("running");
    w.send({ kind: "clip-published", jobId: "j", clipIndex: 0 } as never);
    expect(w.farm.jobs.get("j")!.state).toBe("succeeded");
    expect(w.farm.openJobCount).toBe(0);
  });

  test("the work of a stage names the results of the stage before it", () => {
    const w = world(node("a"));
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
    const w = world(node("a"), node("b"));
    w.submit("j", { decodeChunkSize: 5 }, 2);
    w.finish("j-0-condition");
    expect(holdersOf(w.farm, "j-0-denoise")).toEqual(["a"]);
    w.finish("j-1-condition");
    expect(holdersOf(w.farm, "j-1-denoise")).toEqual(["b"]);
    w.finish("j-0-denoise");
    expect(holdersOf(w.farm, "j-0-decode-0")).toEqual(["a"]);
    expect(holdersOf(w.farm, "j-1-denoise")).toEqual(["b"]);
  });
});

describe("single or pair", () => {
  const denoisers = (nodes: NodeInfo[], change: Partial<JobParameters>, images = 1) => {
    const w = world(...nodes);
    w.submit("j", change, images);
    for (let i = 0; i < images; i++) {
      if (holdersOf(w.farm, `j-${i}-condition`) !== "ready") w.finish(`j-${i}-condition`);
    }
    return holdersOf(w.farm, "j-0-denoise");
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

describe("lost nodes", () => {
  const paired = () => {
    const w = world(node("a"), node("b"));
    w.submit("j");
    w.finish("j-0-condition");
    return w;
  };

  test("the survivor of a pair goes on from the same step under a new epoch", () => {
    const w = paired();
    const effects = w.send({ kind: "node-left", nodeId: "a", bootId: "boot-a" } as never);
    expect(effects).toContainEqual({
      kind: "continue-alone",
      nodeId: "b",
      taskId: "j-0-denoise",
      epoch: 1,
      newEpoch: 2,
    });
    expect(holdersOf(w.farm, "j-0-denoise")).toEqual(["b"]);
    w.send({
      kind: "task-finished",
      taskId: "j-0-denoise",
      nodeId: "b",
      epoch: 2,
      result: { blob: image, outputs: [], seconds: 1, secondsPerStep: 1 },
    } as never);
    expect(holdersOf(w.farm, "j-0-decode-0")).toEqual(["b"]);
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
    expect(holdersOf(w.farm, "j-0-denoise")).toEqual(["b"]);
    expect(w.farm.nodes.get("a")!.gpuTaskId).toBeNull();
    expect(second).toEqual([{ kind: "count", metric: "task_reports_stale_total" }]);
  });

  test("a lost single node's work goes to another node at once", () => {
    const w = world(node("a"), node("b"));
    w.submit("j", { pair: "never" });
    w.finish("j-0-condition");
    w.send({ kind: "node-left", nodeId: "a", bootId: "boot-a" } as never);
    expect(holdersOf(w.farm, "j-0-denoise")).toEqual(["b"]);
  });

  test("the end of an older boot's stream does not touch the newer one", () => {
    const w = world(node("a"));
    w.send({ kind: "node-joined", node: node("a", { bootId: "second" }) } as never);
    expect(w.send({ kind: "node-left", nodeId: "a", bootId: "boot-a" } as never)).toEqual([]);
    expect(w.farm.nodes.has("a")).toBe(true);
  });

  test("work waits while no node is there and starts when one joins", () => {
    const w = world();
    w.submit("j");
    expect(holdersOf(w.farm, "j-0-condition")).toBe("ready");
    w.send({ kind: "node-joined", node: node("a") } as never);
    expect(holdersOf(w.farm, "j-0-condition")).toEqual(["a"]);
  });
});

describe("failure and cancellation", () => {
  const fail = (w: ReturnType<typeof world>, taskId: string, code: string) => {
    const holder = w.assigned.get(taskId)![0]!;
    return w.send({
      kind: "task-failed",
      taskId,
      ...holder,
      failure: { code, detail: "x" },
    } as never);
  };

  test("a clip that fails for good leaves the rest of the batch unharmed", () => {
    const w = world(node("a"), node("b"));
    w.submit("j", {}, 2);
    fail(w, "j-0-condition", "invalid-argument");
    expect(w.farm.jobs.get("j")!.clips.map((c) => c.state)).toEqual(["failed", "running"]);
    expect(holdersOf(w.farm, "j-0-denoise")).toBe("cancelled");
    w.finish("j-1-condition");
    expect(holdersOf(w.farm, "j-1-denoise")).toEqual(["b", "a"].sort());
  });

  test("a retry prefers a node on which the task has not failed", () => {
    const w = world(node("a"), node("b"));
    w.submit("j");
    fail(w, "j-0-condition", "runtime-failed");
    expect(holdersOf(w.farm, "j-0-condition")).toEqual(["b"]);
  });

  test("cancel frees every node and ends the job once", () => {
    const w = world(node("a"), node("b"));
    w.submit("j");
    w.finish("j-0-condition");
    const effects = w.send({ kind: "job-cancelled", jobId: "j" } as never);
    expect(effects.filter((e) => e.kind === "cancel")).toHaveLength(2);
    expect([...w.farm.nodes.values()].map((n) => n.gpuTaskId)).toEqual([null, null]);
    expect(w.farm.jobs.get("j")!.state).toBe("cancelled");
    expect(w.send({ kind: "job-cancelled", jobId: "j" } as never)).toEqual([]);
    expect(w.farm.openJobCount).toBe(0);
  });
});

test("a restart finds nobody connected, takes the work back and publishes what was cut", () => {
  const w = world(node("a"));
  w.submit("j", { decodeChunkSize: 5 });
  for (const stage of ["condition", "denoise", "decode-0", "mux"]) w.finish(`j-0-${stage}`);
  w.submit("k");
  const effects = w.send({ kind: "farm-started" } as never);
  expect(effects).toContainEqual({ kind: "publish", jobId: "j", clipIndex: 0, outputs: [] });
  expect(holdersOf(w.farm, "k-0-condition")).toBe("ready");
  expect(w.farm.nodes.size).toBe(0);
});

test("the same events give the same farm", () => {
  const run = () => {
    const w = world(node("a"), node("b"));
    w.submit("j", {}, 3);
    w.finish("j-0-condition");
    w.send({ kind: "node-left", nodeId: "b", bootId: "boot-b" } as never);
    return [w.farm.tasks, w.farm.jobs, w.farm.nodes];
  };
  expect(run()).toEqual(run());
});
