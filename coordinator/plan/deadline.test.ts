/** A job's deadline: whatever it is doing then, it ends once, and nothing of it goes on. */
import { describe, expect, test } from "vitest";
import { FarmWorld, node } from "../../test/plan/farm-world.js";
import { planHousekeeping } from "./housekeeping.js";

const DEADLINE_MS = Date.UTC(2030, 0, 31);
const keep = { intermediatesKeptMs: 1_000, outputsKeptMs: 5_000 };
const expired = { kind: "job-expired", jobId: "j" } as const;

/** Two nodes, and one job that has to end in time. */
function world(change: Parameters<FarmWorld["submit"]>[1] = {}): FarmWorld {
  const w = new FarmWorld(node("a"), node("b"));
  w.submit("j", { ...change, options: { deadlineMs: DEADLINE_MS, ...change.options } });
  return w;
}

function jobOf(w: FarmWorld, jobId = "j") {
  return w.farm.jobs.get(jobId)!;
}

/** Lets the deadline pass as the shell does. */
function pass(w: FarmWorld) {
  w.nowMs = DEADLINE_MS;
  const due = planHousekeeping(w.farm, keep, w.nowMs);
  return due.flatMap((event) => w.send(event));
}

test("it is due at the deadline, not a millisecond before, and once", () => {
  const w = world();
  expect(planHousekeeping(w.farm, keep, DEADLINE_MS - 1)).toEqual([]);
  expect(planHousekeeping(w.farm, keep, DEADLINE_MS)).toEqual([expired]);
  w.send(expired);
  expect(planHousekeeping(w.farm, keep, DEADLINE_MS + 1)).not.toContainEqual(expired);
  expect(w.send(expired)).toEqual([]);
});

type Story = [name: string, go: (w: FarmWorld) => void];
const everywhere: Story[] = [
  [
    "in the queue",
    (w) => w.send({ kind: "node-left", nodeId: "a", bootId: "boot-a", stopped: true }),
  ],
  ["while it is paused", (w) => w.send({ kind: "job-paused", jobId: "j" })],
  ["while its picture is read", () => {}],
  ["while a pair denoises it", (w) => w.finishUpTo("condition", "j")],
  ["while it is decoded", (w) => w.finishUpTo("denoise", "j")],
  ["while its files are written", (w) => w.finishUpTo("decode", "j")],
  ["while it is published", (w) => w.finishUpTo("mux", "j")],
];

test.each(everywhere)("%s: it expires, its nodes are free, nothing of it waits", (_name, go) => {
  const w = world();
  go(w);
  const working = [...w.farm.nodes.values()].filter((n) => n.gpuTaskId ?? n.muxTaskId);
  const effects = pass(w);
  const job = jobOf(w);
  expect(job).toMatchObject({ state: "expired", endedAtMs: DEADLINE_MS });
  expect(job.clips[0]).toMatchObject({ state: "expired", outputs: [] });
  expect(job.clips[0]!.failure).toEqual({
    code: "deadline",
    detail:
      "the job's deadline, 2030-01-31T00:00:00.000Z, passed before the clip was done; retry takes it away",
  });
  const told = effects.flatMap((e) => (e.kind === "cancel" ? [e.nodeId] : []));
  expect(told.sort()).toEqual(working.map((n) => n.info.nodeId).sort());
  const isFree = [...w.farm.nodes.values()].every(
    (n) => n.gpuTaskId === null && n.muxTaskId === null,
  );
  expect(isFree).toBe(true);
  expect(w.farm.ready.size).toBe(0);
  expect(w.farm.openJobCount).toBe(0);
  expect(w.farm.openTaskCount).toBe(0);
});

describe("one winner", () => {
  test("a publication that comes after the deadline changes nothing", () => {
    const w = world();
    w.finishUpTo("mux", "j");
    pass(w);
    expect(w.publish("j")).toEqual([]);
    expect(jobOf(w).state).toBe("expired");
  });

  test("a deadline that passes after the publication changes nothing", () => {
    const w = world();
    w.finishUpTo("mux", "j");
    w.nowMs = DEADLINE_MS - 1;
    w.publish("j");
    expect(pass(w)).toEqual([]);
    expect(w.send(expired)).toEqual([]);
    expect(jobOf(w).state).toBe("succeeded");
  });

  test("a report that comes after the deadline is stale", () => {
    const w = world();
    const late = w.holder("j-0-condition");
    pass(w);
    const failure = { code: "runtime-failed", detail: "x" } as const;
    expect(w.send({ kind: "task-failed", ...late, failure })).toEqual([
      { kind: "count", metric: "task_reports_stale_total" },
    ]);
  });
});

test("clips that were published in time are kept; what is left of the job is swept in its turn", () => {
  const w = world({ images: 2, pair: "never" });
  w.finishUpTo("mux", "j", 0);
  w.publish("j", 0);
  pass(w);
  expect(jobOf(w).state).toBe("expired");
  expect(jobOf(w).clips.map((clip) => clip.state)).toEqual(["succeeded", "expired"]);
  const swept = { kind: "job-swept", jobId: "j" } as const;
  expect(planHousekeeping(w.farm, keep, DEADLINE_MS + 1_000)).toEqual([swept]);
  expect(w.send(swept)).toContainEqual({ kind: "sweep", jobId: "j", outputs: false });
});

test("those that depend on it fail with it", () => {
  const w = world();
  w.submit("next", { options: { dependsOn: ["j"] } });
  pass(w);
  const next = jobOf(w, "next");
  expect(next.state).toBe("failed");
  expect(next.clips[0]!.failure).toEqual({
    code: "dependency-failed",
    detail: "job j, which it depends on, is expired",
  });
});

describe("retry", () => {
  const retried = (w: FarmWorld, deadlineMs?: number) =>
    w.send({ kind: "job-retried", jobId: "j", what: { kind: "job" }, deadlineMs });

  test("of an expired job goes on from what was done, without a deadline", () => {
    const w = world();
    w.finishUpTo("condition", "j");
    pass(w);
    retried(w);
    expect(jobOf(w)).toMatchObject({ state: "running", run: 2, deadlineMs: null, endedAtMs: null });
    expect(w.holders("j-0-condition")).toBe("done");
    expect(w.holders("j-0-denoise")).toEqual(["a", "b"]);
    expect(planHousekeeping(w.farm, keep, DEADLINE_MS * 2)).toEqual([]);
  });

  test("may name a new deadline, which holds as the first one did", () => {
    const w = world();
    pass(w);
    retried(w, DEADLINE_MS + 500);
    expect(planHousekeeping(w.farm, keep, DEADLINE_MS + 500)).toEqual([expired]);
    w.nowMs = DEADLINE_MS + 500;
    w.send(expired);
    expect(jobOf(w)).toMatchObject({ state: "expired", run: 2 });
  });

  test("before the deadline leaves it as it is", () => {
    const w = world();
    w.fail("j-0-condition", "invalid-argument");
    retried(w);
    expect(jobOf(w)).toMatchObject({ state: "running", deadlineMs: DEADLINE_MS });
  });
});
