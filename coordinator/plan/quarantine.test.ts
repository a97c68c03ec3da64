import { expect, test } from "vitest";
import type { FarmErrorCode } from "../../shared/core/errors.js";
import { FarmWorld, node } from "../../test/plan/farm-world.js";

const CLIPS = 12;

/** A farm of some nodes on which every denoise task of job "bad" fails; the tries that it took. */
function failAll(code: FarmErrorCode, nodeIds: readonly string[]): { w: FarmWorld; tries: number } {
  const w = new FarmWorld(...nodeIds.map((nodeId) => node(nodeId)));
  w.submit("bad", { images: CLIPS, pair: "never" });
  let tries = 0;
  for (let turn = 0; turn < 20 * CLIPS; turn++) {
    for (const { taskId, stage, state } of [...w.farm.tasks.values()]) {
      if (state.kind !== "granted") continue;
      if (stage === "condition") w.finish(taskId);
      else if (w.farm.tasks.get(taskId)?.state.kind === "granted") {
        tries += 1;
        w.fail(taskId, code);
      }
    }
  }
  return { w, tries };
}

test("a job whose tasks failed on 3 nodes is stopped as a whole, after 3 tries and not 3 a clip", () => {
  const { w, tries } = failAll("runtime-failed", ["a", "b", "c", "d"]);
  expect(tries).toBe(3);
  const job = w.farm.jobs.get("bad")!;
  expect(job.state).toBe("failed");
  expect(new Set(job.clips.map(({ failure }) => failure?.code))).toEqual(new Set(["quarantined"]));
  expect(job.clips[0]!.failure?.detail).toMatch(
    /^job bad is quarantined: its denoise failed on 3 nodes \(.*\), the last time with runtime-failed: x; retry the job to try again$/,
  );
});

test("retry lifts it", () => {
  const { w } = failAll("runtime-failed", ["a", "b", "c"]);
  w.send({ kind: "job-retried", jobId: "bad", what: { kind: "job" } });
  const job = w.farm.jobs.get("bad")!;
  expect(job).toMatchObject({ state: "running", failedOn: [], run: 2 });
  expect([...w.farm.tasks.values()].some(({ state }) => state.kind === "granted")).toBe(true);
});

test("other jobs go on, and what the job has finished stays", () => {
  const w = new FarmWorld(node("a"), node("b"), node("c"));
  w.submit("bad", { images: 4, pair: "never" });
  w.submit("good", { pair: "never" });
  w.finishUpTo("mux", "bad", 0);
  w.publish("bad", 0);
  for (const clip of [1, 2, 3]) w.finish(`bad-${clip}-condition`);
  w.finish("good-0-condition");
  for (let turn = 0; turn < 10; turn++) {
    for (const clip of [1, 2, 3]) {
      const { state } = w.farm.tasks.get(`bad-${clip}-denoise`)!;
      if (state.kind === "granted") w.fail(`bad-${clip}-denoise`, "runtime-failed");
    }
  }
  const { state, clips } = w.farm.jobs.get("bad")!;
  expect(state).toBe("failed");
  expect(clips.map((clip) => clip.state)).toEqual(["succeeded", "failed", "failed", "failed"]);
  w.finishUpTo("mux", "good");
  w.publish("good");
  expect(w.farm.jobs.get("good")!.state).toBe("succeeded");
});

test("a stage that is done in between clears the job of that stage", () => {
  const w = new FarmWorld(node("a"), node("b"), node("c"));
  w.submit("j", { images: 3, pair: "never" });
  for (const clip of [0, 1, 2]) w.finish(`j-${clip}-condition`);
  w.fail("j-0-denoise", "runtime-failed");
  w.fail("j-1-denoise", "runtime-failed");
  w.finish("j-2-denoise");
  expect(w.farm.jobs.get("j")!.failedOn).toEqual([]);
});

test.each<FarmErrorCode>(["unreachable", "blob-missing", "numerical", "out-of-memory"])(
  "%s is no sign of a job that wears nodes out",
  (code) => {
    const { w } = failAll(code, ["a", "b", "c"]);
    const codes = w.farm.jobs.get("bad")!.clips.map(({ failure }) => failure?.code);
    expect(new Set(codes)).toEqual(new Set([code]));
  },
);

test("nodes that are lost at once, each with a task of the job, are no sign of it either", () => {
  const w = new FarmWorld(node("a"), node("b"), node("c"));
  w.submit("j", { images: 3, pair: "never" });
  for (const nodeId of ["a", "b", "c"]) w.lose(nodeId);
  expect(w.farm.jobs.get("j")!.state).toBe("running");
});

test("one task that takes node after node with it is", () => {
  const w = new FarmWorld(node("a"), node("b"), node("c"), node("d"));
  w.submit("j", { images: 2, pair: "never" });
  w.finish("j-0-condition");
  for (let loss = 0; loss < 3; loss++) {
    const { nodeId } = w.holder("j-0-denoise");
    w.lose(nodeId);
  }
  expect(w.farm.jobs.get("j")).toMatchObject({
    state: "failed",
    clips: [{ failure: { code: "unreachable" } }, { failure: { code: "quarantined" } }],
  });
});

test("a task waits for a busy node rather than go back to the one where it failed", () => {
  const w = new FarmWorld(node("a"), node("b"));
  for (const jobId of ["one", "two"]) w.submit(jobId, { pair: "never" });
  const [first, second] = ["one-0-condition", "two-0-condition"] as const;
  const { nodeId: bad } = w.holder(first);
  const { nodeId: good } = w.holder(second);
  w.fail(first, "unreachable");
  expect(w.farm.tasks.get(first)!.state.kind).toBe("ready");
  w.finish(second);
  expect(w.holder(first).nodeId).toBe(good);
  expect(w.holder("two-0-denoise").nodeId).toBe(bad);
});

test("on the only node that there is a task is tried again", () => {
  const w = new FarmWorld(node("a"));
  w.submit("one", { pair: "never" });
  w.fail("one-0-condition", "unreachable");
  expect(w.holder("one-0-condition").nodeId).toBe("a");
});
