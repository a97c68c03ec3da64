/** What may be asked of jobs that have ended, what they leave behind, and what they cost. */
import { describe, expect, test } from "vitest";
import { FarmWorld, node } from "../../test/plan/farm-world.js";
import { planHousekeeping } from "./housekeeping.js";

const keep = { intermediatesKeptMs: 1_000, outputsKeptMs: 5_000 };
const jobState = (w: FarmWorld, jobId: string) => w.farm.jobs.get(jobId)?.state;

describe("retry", () => {
  test("does again what failed and keeps what was done", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.finishUpTo("denoise", "j");
    w.fail("j-0-decode-0", "invalid-argument");
    expect(jobState(w, "j")).toBe("failed");
    w.send({ kind: "job-retried", jobId: "j", what: { kind: "job" } });
    expect(jobState(w, "j")).toBe("running");
    expect(w.holders("j-0-denoise")).toBe("done");
    expect(w.holders("j-0-decode-0")).toEqual(["a"]);
    w.finishUpTo("mux", "j");
    const published = w.effects.findLast((e) => e.kind === "publish");
    expect(published).toMatchObject({ jobId: "j", run: 2 });
    w.publish("j");
    expect(jobState(w, "j")).toBe("succeeded");
  });

  test("of one chunk of a cancelled clip does everything that was cancelled", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.finish("j-0-condition");
    w.send({ kind: "job-cancelled", jobId: "j" });
    const what = { kind: "chunk", clipIndex: 0, chunkIndex: 1 } as const;
    w.send({ kind: "job-retried", jobId: "j", what });
    expect(w.holders("j-0-denoise")).toEqual(["a"]);
    w.finishUpTo("mux", "j");
    w.publish("j");
    expect(jobState(w, "j")).toBe("succeeded");
  });

  test("of one chunk decodes it again and writes the files anew", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.finishUpTo("mux", "j");
    w.publish("j");
    const what = { kind: "chunk", clipIndex: 0, chunkIndex: 1 } as const;
    w.send({ kind: "job-retried", jobId: "j", what });
    expect(["j-0-decode-0", "j-0-decode-1", "j-0-mux"].map((t) => w.holders(t))).toEqual([
      "done",
      ["a"],
      "blocked",
    ]);
    w.finish("j-0-decode-1");
    w.finish("j-0-mux");
    w.publish("j");
    expect(jobState(w, "j")).toBe("succeeded");
  });

  test("of a chunk changes nothing while files are made of it: a mux tried again finds it", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.finishUpTo("decode", "j");
    expect(w.holders("j-0-mux")).toEqual(["a"]);
    const what = { kind: "chunk", clipIndex: 0, chunkIndex: 1 } as const;
    expect(w.send({ kind: "job-retried", jobId: "j", what })).toEqual([]);
    w.fail("j-0-mux", "runtime-failed");
    expect(w.holders("j-0-mux")).toEqual(["a"]);
    expect(w.holders("j-0-decode-1")).toBe("done");
  });

  test("of a chunk while another clip runs publishes anew: the manifest names the new files", () => {
    const w = new FarmWorld(node("a"), node("b"));
    w.submit("j", { images: 2 });
    w.finishUpTo("mux", "j");
    const what = { kind: "chunk", clipIndex: 0, chunkIndex: 1 } as const;
    w.send({ kind: "job-retried", jobId: "j", what });
    // The first publication was under way.
    w.send({ kind: "clip-published", jobId: "j", clipIndex: 0, run: 1 });
    w.finish("j-0-decode-1");
    w.send({ kind: "clip-published", jobId: "j", clipIndex: 0, run: 1 });
    expect(w.farm.jobs.get("j")?.clips[0]?.state).toBe("running");
    w.finish("j-0-mux");
    const published = w.effects.findLast((e) => e.kind === "publish");
    expect(published).toMatchObject({ clipIndex: 0, run: 2 });
    w.publish("j");
    expect(w.farm.jobs.get("j")?.clips[0]?.state).toBe("succeeded");
  });

  test("of a job that went well changes nothing", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.finishUpTo("mux", "j");
    w.publish("j");
    expect(w.send({ kind: "job-retried", jobId: "j", what: { kind: "job" } })).toEqual([]);
    expect(jobState(w, "j")).toBe("succeeded");
  });

  test("of a cancelled job goes on where it was", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.finish("j-0-condition");
    w.send({ kind: "job-cancelled", jobId: "j" });
    w.send({ kind: "job-retried", jobId: "j", what: { kind: "clip", clipIndex: 0 } });
    expect(w.holders("j-0-denoise")).toEqual(["a"]);
    expect(w.farm.openJobCount).toBe(1);
  });
});

test("a deleted job is forgotten and swept; one that has not ended stays", () => {
  const w = new FarmWorld(node("a"));
  w.submit("j");
  expect(w.send({ kind: "job-deleted", jobId: "j" })).toEqual([]);
  w.send({ kind: "job-cancelled", jobId: "j" });
  const effects = w.send({ kind: "job-deleted", jobId: "j" });
  expect(effects).toContainEqual({ kind: "sweep", jobId: "j", outputs: true });
  expect([w.farm.jobs.size, w.farm.tasks.size, w.farm.ready.size]).toEqual([0, 0, 0]);
});

describe("what an ended job leaves behind", () => {
  const ended = () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    w.finishUpTo("mux", "j");
    w.publish("j");
    return w;
  };

  test("goes in two steps: intermediates early, finished files late", () => {
    const w = ended();
    const due = (afterMs: number) => planHousekeeping(w.farm, keep, w.nowMs + afterMs);
    expect(due(999)).toEqual([]);
    expect(due(1_000)).toEqual([{ kind: "job-swept", jobId: "j" }]);
    const swept = w.send({ kind: "job-swept", jobId: "j" });
    expect(swept).toEqual([{ kind: "sweep", jobId: "j", outputs: false }]);
    expect(due(4_999)).toEqual([]);
    expect(due(5_000)).toEqual([{ kind: "job-deleted", jobId: "j" }]);
  });

  test("is missed by no later retry of another clip", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j", { images: 2 });
    w.finish("j-0-condition");
    w.finish("j-1-condition");
    w.send({ kind: "job-cancelled", jobId: "j" });
    w.send({ kind: "job-swept", jobId: "j" });
    for (const clipIndex of [0, 1]) {
      w.send({ kind: "job-retried", jobId: "j", what: { kind: "clip", clipIndex } });
    }
    expect(["j-0-denoise", "j-1-denoise"].map((t) => w.holders(t))).toEqual(["blocked", "blocked"]);
  });

  test("is missed by no retry: without intermediates a chunk begins at the picture", () => {
    const w = ended();
    w.send({ kind: "job-swept", jobId: "j" });
    const what = { kind: "chunk", clipIndex: 0, chunkIndex: 1 } as const;
    w.send({ kind: "job-retried", jobId: "j", what });
    expect(w.holders("j-0-condition")).toEqual(["a"]);
    expect(w.holders("j-0-decode-1")).toBe("blocked");
  });
});

test("accounts tell used from wasted seconds, by job, owner and stage", () => {
  const w = new FarmWorld(node("a"));
  w.submit("j", { options: { owner: "ann" } });
  w.nowMs += 2_000;
  w.fail("j-0-condition", "runtime-failed");
  w.nowMs += 3_000;
  w.finish("j-0-condition");
  expect(w.farm.usage.ofJob("j")).toEqual({ used: 5, wasted: 2 });
  expect(w.farm.usage.ofOwner("ann")).toEqual({ used: 5, wasted: 2 });
  expect(w.farm.usage.ofStage("condition")).toEqual({ used: 5, wasted: 2 });
});
