import { describe, expect, test } from "vitest";
import { JOB_OPTIONS_DEFAULT, type JobOptions } from "../../shared/farm/job.js";
import { FarmWorld, jobParameters, node } from "../../test/plan/farm-world.js";
import { planDryRun } from "./dry-run.js";

const dryRun = (w: FarmWorld, options: Partial<JobOptions> = {}, imageCount = 1) =>
  planDryRun(
    w.farm,
    {
      modelDigest: node("x").model.digest,
      parameters: jobParameters,
      stepsTotal: 4,
      imageCount,
      options: { ...JOB_OPTIONS_DEFAULT, ...options },
    },
    w.nowMs,
  );

/** A farm that has rendered such a clip once: every stage took a second, a step half a second. */
const experienced = (...nodeIds: string[]) => {
  const w = new FarmWorld(...nodeIds.map((nodeId) => node(nodeId)));
  w.submit("earlier", { pair: "never" });
  w.finishUpTo("mux", "earlier");
  w.publish("earlier");
  return w;
};

describe("how it would be done", () => {
  test.each([
    [["a", "b"], 1, "pair"],
    [["a", "b"], 2, "single"],
    [["a"], 1, "single"],
  ] as const)("on %j, %d clips: %s", (nodeIds, images, plan) => {
    const w = new FarmWorld(...nodeIds.map((id) => node(id)));
    expect(dryRun(w, {}, images)).toMatchObject({ plan, clips: images, chunksPerClip: 3 });
  });
});

describe("when it would be there", () => {
  test("nobody knows before anything like it was measured", () => {
    expect(dryRun(new FarmWorld(node("a"))).etaSeconds).toBeNull();
  });

  test("its own work, shared by the nodes", () => {
    // condition 1 + 4 steps of 0.5 + 3 chunks of 1 + mux 1
    expect(dryRun(experienced("a")).etaSeconds).toBeCloseTo(7);
    expect(dryRun(experienced("a"), {}, 3).etaSeconds).toBeCloseTo(21);
    expect(dryRun(experienced("a", "b"), {}, 4).etaSeconds).toBeCloseTo(14);
  });

  test("after what goes first", () => {
    const w = experienced("a");
    w.submit("ahead");
    expect(dryRun(w)).toMatchObject({ jobsAhead: 1, etaSeconds: 14 });
    expect(dryRun(w, { priority: 90 })).toMatchObject({ jobsAhead: 0, etaSeconds: 7 });
  });
});

describe("why not", () => {
  test("each node says for itself", () => {
    const other = { ...node("x").model, digest: "other" };
    const w = new FarmWorld(node("a"), node("b", { model: other }), node("c"), node("d"));
    w.send({ kind: "node-drained", nodeId: "c" });
    w.send({ kind: "node-stopping", nodeId: "d" });
    expect(dryRun(w).nodes.map((n) => n.whyNot)).toEqual([
      "",
      "serves another checkpoint",
      "draining",
      "stopping",
    ]);
  });

  test("the job names all that stands in its way", () => {
    const w = new FarmWorld(node("a"));
    w.submit("first");
    const { whyNotNow } = dryRun(w, { startAfterMs: 1e6, dependsOn: ["first"] });
    expect(whyNotNow).toEqual([
      "every node that could work on it is busy",
      "its start time has not come",
      "it waits for first",
    ]);
    expect(dryRun(new FarmWorld()).whyNotNow[0]).toBe("no connected node can work on it");
  });
});
