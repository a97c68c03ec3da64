/** What a task has made and another one cannot read is made again. */
import { describe, expect, test } from "vitest";
import type { FarmErrorCode } from "../../shared/core/errors.js";
import { FarmWorld, node } from "../../test/plan/farm-world.js";
import { REMAKES_MAX } from "./limits.js";

const ALONE = { pair: "never" } as const;

/** Whoever holds the task says that it cannot read a blob. */
function cannotRead(
  w: FarmWorld,
  taskId: string,
  blobKey?: string,
  code: FarmErrorCode = "blob-corrupt",
) {
  const failure = { code, detail: `blob ${blobKey} is not what it should be` };
  return w.send({ kind: "task-failed", ...w.holder(taskId), failure, blobKey });
}

/** As `FarmWorld.finish` names it. */
const madeBy = (taskId: string) => `out/${taskId}`;
const task = (w: FarmWorld, taskId: string) => w.farm.tasks.get(taskId)!;
const clip = (w: FarmWorld) => w.farm.jobs.get("j")!.clips[0]!;

function world(upTo?: "condition" | "denoise" | "decode"): FarmWorld {
  const w = new FarmWorld(node("a"), node("b"));
  w.submit("j", ALONE);
  if (upTo) w.finishUpTo(upTo, "j");
  return w;
}

describe.each<FarmErrorCode>(["blob-corrupt", "blob-missing"])("%s", (code) => {
  test("the conditioning: it is made again, then the denoising goes on", () => {
    const w = world("condition");
    const effects = cannotRead(w, "j-0-denoise", madeBy("j-0-condition"), code);
    expect(effects).toContainEqual({ kind: "count", metric: "task_retries_total" });
    expect(w.holders("j-0-condition")).toHaveLength(1);
    expect(w.holders("j-0-denoise")).toBe("blocked");
    w.finish("j-0-condition");
    expect(w.holders("j-0-denoise")).toHaveLength(1);
  });

  test("the latents: every chunk that waits for them waits again, one that is done stays", () => {
    const w = world("denoise");
    w.finish("j-0-decode-0");
    cannotRead(w, "j-0-decode-1", madeBy("j-0-denoise"), code);
    expect(w.holders("j-0-denoise")).toHaveLength(1);
    expect(w.holders("j-0-decode-0")).toBe("done");
    expect(w.holders("j-0-decode-1")).toBe("blocked");
    w.finish("j-0-denoise");
    w.finish("j-0-decode-1");
    w.finish("j-0-decode-2");
    w.finish("j-0-mux");
    expect(w.holders("j-0-mux")).toBe("done");
  });

  test("one chunk: that one only", () => {
    const w = world("decode");
    cannotRead(w, "j-0-mux", madeBy("j-0-decode-1"), code);
    expect(w.holders("j-0-decode-0")).toBe("done");
    expect(w.holders("j-0-decode-1")).toHaveLength(1);
    expect(w.holders("j-0-mux")).toBe("blocked");
    w.finish("j-0-decode-1");
    expect(w.holders("j-0-mux")).toHaveLength(1);
  });
});

test("it costs the reader no attempt, and blames no node", () => {
  const w = world("decode");
  cannotRead(w, "j-0-mux", madeBy("j-0-decode-1"));
  expect(task(w, "j-0-mux").failures).toEqual([]);
  expect([...w.farm.nodeRecords.values()].flatMap((record) => record.failedJobIds)).toEqual([]);
});

test("the denoising that is done again goes on from its last checkpoint", () => {
  const w = world("condition");
  const checkpoint = { step: 3, blob: { key: "v1/step-3", sha256: "", size: 1 } };
  w.send({ kind: "task-checkpointed", ...w.holder("j-0-denoise"), checkpoint });
  w.finish("j-0-denoise");
  const effects = cannotRead(w, "j-0-decode-0", madeBy("j-0-denoise"));
  const [assign] = effects.flatMap((e) => (e.kind === "assign" ? [e.assignment.work] : []));
  expect(assign).toMatchObject({ stage: "denoise", resume: { step: 3 } });
});

test("two that cannot read the same: it is made again once", () => {
  const w = world("denoise");
  expect(w.holders("j-0-decode-1")).toHaveLength(1);
  cannotRead(w, "j-0-decode-0", madeBy("j-0-denoise"));
  cannotRead(w, "j-0-decode-1", madeBy("j-0-denoise"));
  expect(clip(w).remakes).toBe(1);
  expect(task(w, "j-0-decode-1")).toMatchObject({ state: { kind: "blocked" }, failures: [] });
});

test("a reader that is lost meanwhile waits for it too", () => {
  const w = world("denoise");
  const [other] = w.holders("j-0-decode-1");
  cannotRead(w, "j-0-decode-0", madeBy("j-0-denoise"));
  w.lose(other!);
  expect(w.holders("j-0-decode-1")).toBe("blocked");
});

test("one of a pair that cannot read stops both: neither has begun", () => {
  const w = new FarmWorld(node("a"), node("b"));
  w.submit("j", { pair: "always" });
  w.finish("j-0-condition");
  const effects = cannotRead(w, "j-0-denoise", madeBy("j-0-condition"));
  expect(effects).toContainEqual({ kind: "cancel", nodeId: "b", taskId: "j-0-denoise", epoch: 1 });
  expect(w.holders("j-0-denoise")).toBe("blocked");
});

describe("a failure like any other", () => {
  test("of a blob that none of its inputs is: a picture, a checkpoint, a name that nobody knows", () => {
    const w = world();
    cannotRead(w, "j-0-condition", "inputs/x");
    expect(task(w, "j-0-condition").failures).toHaveLength(1);
    w.finish("j-0-condition");
    cannotRead(w, "j-0-denoise", "v1/anything");
    cannotRead(w, "j-0-denoise");
    expect(task(w, "j-0-denoise").failures).toHaveLength(2);
    expect(w.holders("j-0-condition")).toBe("done");
  });

  test("of another kind, though it names an input", () => {
    const w = world("condition");
    cannotRead(w, "j-0-denoise", madeBy("j-0-condition"), "runtime-failed");
    expect(w.holders("j-0-condition")).toBe("done");
  });

  test("a report of a grant that is over is stale", () => {
    const w = world("decode");
    const late = { ...w.holder("j-0-mux"), epoch: 0 };
    const failure = { code: "blob-corrupt", detail: "x" } as const;
    const blobKey = madeBy("j-0-decode-1");
    expect(w.send({ kind: "task-failed", ...late, failure, blobKey })).toEqual([
      { kind: "count", metric: "task_reports_stale_total" },
    ]);
    expect(w.holders("j-0-decode-1")).toBe("done");
  });
});

describe("bounded", () => {
  /** The store loses every conditioning. */
  function rotting(): FarmWorld {
    const w = world("condition");
    for (let i = 0; i < REMAKES_MAX; i++) {
      cannotRead(w, "j-0-denoise", madeBy("j-0-condition"));
      w.finish("j-0-condition");
    }
    return w;
  }

  test("a clip whose results were made again often enough fails by name", () => {
    const w = rotting();
    expect(task(w, "j-0-denoise").failures).toEqual([]);
    for (let i = 0; clip(w).state === "running" && i < 10; i++) {
      cannotRead(w, "j-0-denoise", madeBy("j-0-condition"));
    }
    expect(clip(w)).toMatchObject({
      state: "failed",
      failure: { code: "blob-corrupt", detail: "blob out/j-0-condition is not what it should be" },
    });
  });

  test("retry begins with none: what cannot be read is made again, though it was done", () => {
    const w = rotting();
    while (clip(w).state === "running") cannotRead(w, "j-0-denoise", madeBy("j-0-condition"));
    w.send({ kind: "job-retried", jobId: "j", what: { kind: "job" } });
    cannotRead(w, "j-0-denoise", madeBy("j-0-condition"));
    expect(w.holders("j-0-condition")).toHaveLength(1);
    expect(clip(w).remakes).toBe(1);
  });
});
