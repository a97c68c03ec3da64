/** @file Work that has left the accelerator: what the node may do while its result is stored. */
import { describe, expect, test } from "vitest";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import { FarmWorld, node } from "../../test/plan/farm-world.js";
import { OVERTAKING_MS_MAX } from "./limits.js";
import { tasksHeld } from "./node.js";

const BLOB = { key: "out/before", sha256: "1".repeat(64), size: 1 };

const heldBy = (w: FarmWorld, nodeId: string) => tasksHeld(w.farm.nodes.get(nodeId)!);

test("a node that stores a result is given the next work, and holds both", () => {
  const w = new FarmWorld(node("a"));
  w.submit("j", { images: 2 });
  expect(heldBy(w, "a")).toEqual(["j-0-condition"]);
  w.end("j-0-condition");
  expect(heldBy(w, "a")).toEqual(["j-1-condition", "j-0-condition"]);
  w.finish("j-0-condition");
  expect(heldBy(w, "a")).toEqual(["j-1-condition"]);
});

test("a second result keeps the accelerator until the first is stored", () => {
  const w = new FarmWorld(node("a"));
  w.submit("j", { images: 3 });
  w.end("j-0-condition");
  w.end("j-1-condition");
  expect(heldBy(w, "a")).toEqual(["j-1-condition", "j-0-condition"]);
  w.finish("j-0-condition");
  w.end("j-1-condition");
  expect(heldBy(w, "a")).toEqual(["j-0-denoise", "j-1-condition"]);
});

test("a mux holds no accelerator that it could leave", () => {
  const w = new FarmWorld(node("a"));
  w.submit("j");
  w.finishUpTo("decode", "j");
  expect(w.end("j-0-mux")).toEqual([]);
  expect(w.farm.nodes.get("a")).toMatchObject({ muxTaskId: "j-0-mux", endingTaskId: null });
});

test("a node that is lost takes with it what it stored and what it worked on", () => {
  const w = new FarmWorld(node("a"));
  w.submit("j", { images: 2 });
  w.end("j-0-condition");
  w.lose("a");
  expect(["j-0-condition", "j-1-condition"].map((t) => w.holders(t))).toEqual(["ready", "ready"]);
});

test("draining does not ask for what is only stored", () => {
  const w = new FarmWorld(node("a"));
  w.submit("j", { pair: "never" });
  w.finish("j-0-condition");
  w.end("j-0-denoise");
  const effects = w.send({ kind: "node-drained", nodeId: "a" });
  expect(effects.filter(({ kind }) => kind === "yield")).toEqual([]);
});

describe("while the latents of a clip are stored, its node", () => {
  /**
   * Of two clips the first is stored by the only node, and the second could be denoised.
   *
   * @param secondsPerStep as measured before, of the four steps of each; null: nothing was
   */
  const storing = (secondsPerStep: number | null, priority = JOB_OPTIONS_DEFAULT.priority) => {
    const w = new FarmWorld(node("a"));
    if (secondsPerStep !== null) {
      w.submit("before", { pair: "never" });
      w.finish("before-0-condition");
      const result = { blob: BLOB, outputs: [], seconds: 1, secondsPerStep };
      w.send({ kind: "task-finished", ...w.holder("before-0-denoise"), result });
      w.send({ kind: "job-cancelled", jobId: "before" });
    }
    w.submit("j", { pair: "never" });
    w.submit("k", { pair: "never", options: { priority } });
    w.end("j-0-condition");
    w.finish("j-0-condition");
    w.end("k-0-condition");
    w.finish("k-0-condition");
    expect([w.holders("j-0-denoise"), w.holders("k-0-denoise")]).toEqual([["a"], "ready"]);
    w.end("j-0-denoise");
    return w;
  };
  const short = OVERTAKING_MS_MAX / 1_000 / 4;

  test.each([
    ["that was never measured", null],
    ["of more than two seconds", 1.1 * short],
  ])("does not begin a denoising %s: the decoding of the clip comes first", (_name, seconds) => {
    const w = storing(seconds);
    expect(w.holders("k-0-denoise")).toBe("ready");
    w.finish("j-0-denoise");
    expect([w.holders("j-0-decode-0"), w.holders("k-0-denoise")]).toEqual([["a"], "ready"]);
  });

  test("begins one of two seconds or less", () => {
    const w = storing(short);
    expect(heldBy(w, "a")).toEqual(["k-0-denoise", "j-0-denoise"]);
  });

  test("begins one of a higher priority, however long", () => {
    const w = storing(null, JOB_OPTIONS_DEFAULT.priority + 1);
    expect(heldBy(w, "a")).toEqual(["k-0-denoise", "j-0-denoise"]);
  });

  test("is no spare one: two clips that wait are not paired on the other two nodes", () => {
    const w = new FarmWorld(node("a"), node("b"), node("c"));
    w.submit("j", { pair: "never" });
    w.submit("k", { images: 2 });
    w.finish("j-0-condition");
    w.send({ kind: "job-paused", jobId: "k" });
    for (const clip of [0, 1]) w.finish(`k-${clip}-condition`);
    w.end("j-0-denoise");
    w.send({ kind: "job-resumed", jobId: "k" });
    expect(["k-0-denoise", "k-1-denoise"].map((t) => w.holders(t))).toEqual([["b"], ["c"]]);
  });

  test("does not make a pair with another one, which would have to stop for it", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j", { pair: "never" });
    w.finish("j-0-condition");
    w.submit("k");
    w.send({ kind: "node-joined", node: node("b") });
    w.finish("k-0-condition");
    expect(w.holders("k-0-denoise")).toEqual(["b"]);
    const effects = w.end("j-0-denoise");
    expect(effects.filter(({ kind }) => kind === "yield")).toEqual([]);
    expect(w.holders("k-0-denoise")).toEqual(["b"]);
  });
});
