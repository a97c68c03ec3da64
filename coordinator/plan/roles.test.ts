/** Preferences of nodes: what is preferred first, and never an idle node beside work it could do. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { NODE_PREFERENCES, type NodePreference } from "../../shared/farm/work.js";
import { FarmWorld, node } from "../../test/plan/farm-world.js";
import { canRun } from "./choose-node.js";

/** Nodes that join a farm in which one clip waits to be denoised and another one to be decoded. */
function joined(...prefers: NodePreference[]): FarmWorld {
  const w = new FarmWorld(node("first"));
  w.submit("decodes", { pair: "never", decodeChunkSize: 5 });
  w.finishUpTo("condition", "decodes");
  w.submit("denoises", { pair: "never" });
  w.finish("decodes-0-denoise");
  if (w.holders("denoises-0-condition") !== "done") {
    w.send({ kind: "node-joined", node: node("second") });
    w.finish("denoises-0-condition");
    w.send({ kind: "node-left", nodeId: "second", bootId: "boot-second", stopped: true });
  }
  w.send({ kind: "node-left", nodeId: "first", bootId: "boot-first", stopped: true });
  expect([w.holders("decodes-0-decode-0"), w.holders("denoises-0-denoise")]).toEqual([
    "ready",
    "ready",
  ]);
  for (const [i, preference] of prefers.entries()) {
    w.send({ kind: "node-joined", node: node(`n${i}`, { prefers: preference }) });
  }
  return w;
}

test.each<[prefers: NodePreference[], decodes: string[], denoises: string[]]>([
  [["denoise", "decode"], ["n1"], ["n0"]],
  [["decode", "denoise"], ["n0"], ["n1"]],
  [["denoise", "denoise"], ["n1"], ["n0"]],
  [["decode", "decode"], ["n0"], ["n1"]],
  [["any", "decode"], ["n0"], ["n1"]],
])("nodes that prefer %j: preferred work first, then whatever waits", (prefers, ...both) => {
  const w = joined(...prefers);
  const held = ["decodes-0-decode-0", "denoises-0-denoise"].map((taskId) => w.holders(taskId));
  expect(held).toEqual(both);
});

test("a more urgent task goes first, whatever the node prefers", () => {
  const w = joined();
  w.send({ kind: "job-prioritized", jobId: "decodes", priority: 90 });
  w.send({ kind: "node-joined", node: node("n", { prefers: "denoise" }) });
  expect(w.holders("decodes-0-decode-0")).toEqual(["n"]);
});

test("a clip is paired with a node that prefers other work where none of that waits", () => {
  const w = new FarmWorld(node("a", { prefers: "denoise" }), node("b", { prefers: "decode" }));
  w.submit("j", { pair: "auto" });
  w.finish("j-0-condition");
  expect(w.holders("j-0-denoise")).toEqual(["a", "b"]);
});

test("no node is ever idle beside work that it could do", () => {
  const nodes = fc.array(fc.constantFrom(...NODE_PREFERENCES), { minLength: 1, maxLength: 5 });
  const turns = fc.array(fc.nat(1000), { minLength: 10, maxLength: 80 });
  fc.assert(
    fc.property(nodes, turns, (prefers, all) => {
      const w = new FarmWorld(...prefers.map((p, i) => node(`n${i}`, { prefers: p })));
      for (const [i, turn] of all.entries()) {
        const granted = [...w.farm.tasks.values()].filter(({ state }) => state.kind === "granted");
        const task = granted[turn % Math.max(1, granted.length)];
        if (turn % 4 === 0 || !task) w.submit(`j${i}`, { images: 1 + (turn % 2), pair: "never" });
        else w.finish(task.taskId);
        expectNoneIdle(w);
      }
    }),
    { seed: 3, numRuns: 100, endOnFailure: true },
  );
});

function expectNoneIdle({ farm }: FarmWorld): void {
  const waiting = [...farm.ready.taskIds()].map((taskId) => farm.tasks.get(taskId)!);
  for (const each of farm.nodes.values()) {
    const could = waiting.filter((task) => {
      const slot = task.stage === "mux" ? each.muxTaskId : each.gpuTaskId;
      return slot === null && canRun(each, farm.jobs.get(task.jobId)!, task);
    });
    expect(could.map(({ taskId }) => `${taskId} beside ${each.info.nodeId}`)).toEqual([]);
  }
}
