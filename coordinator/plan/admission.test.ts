/** Jobs of an owner who may have only so many worked on at a time. */
import { describe, expect, test } from "vitest";
import { FarmWorld, node } from "../../test/plan/farm-world.js";
import { viewJob } from "./view.js";

const BOUND = { quotaBound: true };
const COUNTED = "its owner has 2 jobs worked on, and may have no more at a time";

/** Four nodes, and two jobs of each owner at a time. */
function world(max: number | null = 2): FarmWorld {
  const w = new FarmWorld(...["a", "b", "c", "d"].map((id) => node(id)));
  w.policy = { ownerAcceleratorsMax: null, runningJobsMax: () => max };
  return w;
}

function submit(w: FarmWorld, jobId: string, options: object = {}): void {
  w.submit(jobId, { pair: "never", options: { owner: "ann", ...BOUND, ...options } });
}

const begun = (w: FarmWorld) =>
  [...w.farm.jobs.values()].filter((job) => job.startedAtMs !== null).map((job) => job.jobId);

const why = (w: FarmWorld, jobId: string) =>
  viewJob(w.farm, w.farm.jobs.get(jobId)!, new Map(), w.nowMs).whyNotNow;

describe("a job beyond the bound", () => {
  test("is taken, waits beside idle nodes, and says why", () => {
    const w = world();
    for (const jobId of ["one", "two", "three"]) submit(w, jobId);
    expect(begun(w)).toEqual(["one", "two"]);
    expect(w.farm.jobs.get("three")?.state).toBe("queued");
    expect(why(w, "three")).toEqual([COUNTED]);
  });

  test("begins in the moment in which another one ends", () => {
    const w = world();
    for (const jobId of ["one", "two", "three"]) submit(w, jobId);
    w.send({ kind: "job-cancelled", jobId: "one" });
    expect(begun(w)).toContain("three");
    expect(why(w, "three")).toEqual([]);
  });

  test("does not keep the jobs of another owner waiting", () => {
    const w = world();
    for (const jobId of ["one", "two", "three"]) submit(w, jobId);
    submit(w, "other", { owner: "bob" });
    expect(begun(w)).toEqual(["one", "two", "other"]);
  });

  test("does not keep its owner's clips from being denoised by pairs", () => {
    const w = world(1);
    w.submit("one", { pair: "auto", options: { owner: "ann", ...BOUND } });
    submit(w, "two");
    w.finishUpTo("condition", "one");
    expect(w.holders("one-0-denoise")).toHaveLength(2);
  });

  test("can be cancelled, and leaves the queue", () => {
    const w = world(1);
    for (const jobId of ["one", "two", "three"]) submit(w, jobId);
    w.send({ kind: "job-cancelled", jobId: "two" });
    w.send({ kind: "job-cancelled", jobId: "one" });
    expect(w.farm.jobs.get("two")?.state).toBe("cancelled");
    expect(begun(w)).toEqual(["one", "three"]);
  });
});

describe("who is let in next", () => {
  test("is the job of the highest priority, of equals the first", () => {
    const w = world(1);
    for (const jobId of ["one", "two", "three"]) submit(w, jobId);
    submit(w, "urgent", { priority: 90 });
    w.send({ kind: "job-cancelled", jobId: "one" });
    expect(begun(w)).toEqual(["one", "urgent"]);
    w.send({ kind: "job-cancelled", jobId: "urgent" });
    expect(begun(w)).toEqual(["one", "two", "urgent"]);
  });

  test.each([
    ["its start time", { startAfterMs: 100 }],
    ["another job", { dependsOn: ["one"] }],
  ])("is no job that waits for %s as well", (_name, options) => {
    const w = world();
    submit(w, "one");
    submit(w, "later", options);
    submit(w, "two");
    expect(begun(w)).toEqual(["one", "two"]);
  });

  test("is everybody, once the bound is lifted", () => {
    const w = world(1);
    for (const jobId of ["one", "two", "three"]) submit(w, jobId);
    w.policy = { ownerAcceleratorsMax: null, runningJobsMax: () => null };
    w.send(null);
    expect(begun(w)).toEqual(["one", "two", "three"]);
  });
});

test("a job that is retried after its end waits again like any other", () => {
  const w = world(1);
  submit(w, "one");
  w.send({ kind: "job-cancelled", jobId: "one" });
  submit(w, "two");
  w.send({ kind: "job-retried", jobId: "one", what: { kind: "job" } });
  expect(w.holders("one-0-condition")).toBe("ready");
  w.send({ kind: "job-cancelled", jobId: "two" });
  expect(w.holders("one-0-condition")).toHaveLength(1);
});
