import { describe, expect, test } from "vitest";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import { FarmWorld, type JobChange, node } from "../../test/plan/farm-world.js";
import { planDryRun } from "./dry-run.js";
import { recordOf } from "./farm-state.js";
import { planHousekeeping } from "./housekeeping.js";
import { BIGGER_NODE_MS_MAX, FAILED_JOBS_OF_NODE_MAX, MEMORY_REMEMBERED_MS } from "./limits.js";

const GIB = 2 ** 30;
const sized = (nodeId: string, gib: number) => node(nodeId, { memoryBytes: gib * GIB });
const alone: JobChange = { pair: "never" };
const DENOISE = "j-0-denoise";

/** A farm that denoises clip 0 of job "j" on the node named. */
function denoisingOn(nodeId: string, ...nodes: Parameters<typeof node>[]): FarmWorld {
  const w = new FarmWorld(...nodes.map((args) => node(...args)));
  w.submit("j", alone);
  w.finish("j-0-condition");
  expect(w.holders(DENOISE)).toEqual([nodeId]);
  return w;
}
const withGib = (nodeId: string, gib: number): Parameters<typeof node> => [
  nodeId,
  { memoryBytes: gib * GIB },
];

describe("a task that ran out of memory", () => {
  test("is tried again on a bigger node only, also one that is busy now", () => {
    const w = new FarmWorld(sized("big", 48));
    w.submit("other", alone);
    w.send({ kind: "node-joined", node: sized("small", 16) });
    w.send({ kind: "node-joined", node: sized("equal", 16) });
    w.submit("j", alone);
    w.finish("j-0-condition");
    expect(w.holders(DENOISE)).toEqual(["small"]);
    w.fail(DENOISE, "out-of-memory");
    expect(w.holders(DENOISE)).toBe("ready");
    w.finishUpTo("condition", "other");
    expect(w.holders(DENOISE)).toEqual(["big"]);
  });

  test("waits for a bigger node that is held down, and not for one that drains", () => {
    const held = denoisingOn("small", withGib("small", 16));
    for (let loss = 0; loss < 3; loss++) {
      held.send({ kind: "node-joined", node: sized("big", 48) });
      held.lose("big");
    }
    held.send({ kind: "node-joined", node: sized("big", 48) });
    held.fail(DENOISE, "out-of-memory");
    expect(held.holders(DENOISE)).toBe("ready");

    const draining = denoisingOn("small", withGib("small", 16), withGib("big", 48));
    draining.send({ kind: "node-drained", nodeId: "big" });
    draining.fail(DENOISE, "out-of-memory");
    expect(draining.holders(DENOISE)).toBe("failed");
  });

  test("goes from size to size without counting them as nodes that failed", () => {
    const w = denoisingOn("n8", withGib("n8", 8), withGib("n16", 16), withGib("n24", 24));
    w.send({ kind: "node-joined", node: sized("n48", 48) });
    for (const next of ["n16", "n24", "n48"]) {
      w.fail(DENOISE, "out-of-memory");
      expect(w.holders(DENOISE)).toEqual([next]);
    }
  });

  test("fails where no node has more, and says what helps", () => {
    const w = denoisingOn("small", withGib("small", 16), withGib("equal", 16));
    w.fail(DENOISE, "out-of-memory");
    const { failure } = w.farm.jobs.get("j")!.clips[0]!;
    expect(failure?.code).toBe("out-of-memory");
    expect(failure?.detail).toBe(
      "denoise ran out of memory on node small (16.0 GiB), and no node of the farm has more; submit " +
        "it with a smaller height and width than 64 x 64 or fewer frames than 5, or add a node with " +
        "more memory and retry the job: x",
    );
  });

  test("advises a smaller chunk where it was a decode chunk, and never takes one by itself", () => {
    const w = new FarmWorld(sized("a", 16));
    w.submit("j", alone);
    w.finishUpTo("denoise", "j");
    w.fail("j-0-decode-0", "out-of-memory");
    expect(w.farm.jobs.get("j")!.clips[0]!.failure?.detail).toContain(
      "decode_chunk_size 1 in place of 2, which changes the pixels where chunks meet",
    );
    expect(w.farm.jobs.get("j")!.parameters.decodeChunkSize).toBe(2);
  });

  test("may go anywhere again after a retry", () => {
    const w = denoisingOn("a", withGib("a", 16));
    w.fail(DENOISE, "out-of-memory");
    w.send({ kind: "job-retried", jobId: "j", what: { kind: "job" } });
    expect(w.holders(DENOISE)).toEqual(["a"]);
  });

  test("one of a pair: the other one goes on, whatever memory it has", () => {
    const w = new FarmWorld(sized("a", 16), sized("b", 16));
    w.submit("j", { pair: "always" });
    w.finish("j-0-condition");
    w.fail(DENOISE, "out-of-memory");
    expect(w.holders(DENOISE)).toEqual(["b"]);
  });
});

describe("a task whose bigger node has gone", () => {
  const keep = { intermediatesKeptMs: 1e9, outputsKeptMs: 1e9 };
  const dueOf = (w: FarmWorld, nowMs: number) => planHousekeeping(w.farm, keep, nowMs);
  const givenUp = { kind: "task-given-up", taskId: DENOISE } as const;

  /** It waits for "big", which does something else. */
  function waiting(): FarmWorld {
    const w = new FarmWorld(sized("big", 48));
    w.submit("other", alone);
    w.send({ kind: "node-joined", node: sized("small", 16) });
    w.submit("j", alone);
    w.finish("j-0-condition");
    w.fail(DENOISE, "out-of-memory");
    expect(w.holders(DENOISE)).toBe("ready");
    return w;
  }

  function stranded(): FarmWorld {
    const w = waiting();
    w.nowMs = 1_000;
    w.lose("big");
    return w;
  }

  test("waits for ten minutes, and then fails with what helps", () => {
    const w = stranded();
    const endMs = 1_000 + BIGGER_NODE_MS_MAX;
    expect(dueOf(w, endMs - 1)).toEqual([]);
    expect(dueOf(w, endMs)).toEqual([givenUp]);
    w.nowMs = endMs;
    w.send(givenUp);
    const { state, failure } = w.farm.jobs.get("j")!.clips[0]!;
    expect(state).toBe("failed");
    expect(failure).toEqual({
      code: "out-of-memory",
      detail:
        "denoise ran out of memory on a node with 16.0 GiB, and for 10 minutes no node of the farm has " +
        "had more; submit it with a smaller height and width than 64 x 64 or fewer frames than 5, or " +
        "add a node with more memory and retry the job",
    });
    expect(dueOf(w, endMs)).toEqual([]);
  });

  test("waits without an end for one that is only busy", () => {
    const w = waiting();
    expect(dueOf(w, 1e12)).toEqual([]);
  });

  test("waits anew after one came and went", () => {
    const w = stranded();
    w.nowMs = BIGGER_NODE_MS_MAX;
    w.send({ kind: "node-joined", node: sized("huge", 48) });
    expect(w.holders(DENOISE)).toEqual(["huge"]);
    w.lose("huge");
    expect(dueOf(w, 2 * BIGGER_NODE_MS_MAX - 1)).toEqual([]);
    expect(dueOf(w, 2 * BIGGER_NODE_MS_MAX)).toEqual([givenUp]);
  });

  test("is not given up when one comes in that moment", () => {
    const w = stranded();
    w.nowMs = 1_000 + BIGGER_NODE_MS_MAX;
    w.send({ kind: "node-joined", node: sized("huge", 48) });
    expect(w.send(givenUp)).toEqual([]);
    expect(w.holders(DENOISE)).toEqual(["huge"]);
  });

  test("is held to the same ten minutes by a clock that was set back", () => {
    const w = stranded();
    w.nowMs = -3_600_000;
    w.send({ kind: "node-drained", nodeId: "nobody" });
    expect(dueOf(w, w.nowMs + BIGGER_NODE_MS_MAX)).toEqual([givenUp]);
  });
});

describe("whose fault it is", () => {
  test("a small node is not bad, however many big jobs it was given", () => {
    const w = new FarmWorld(sized("a", 16));
    for (let i = 0; i <= FAILED_JOBS_OF_NODE_MAX; i++) {
      w.submit(`j${i}`, { ...alone, height: 64 + 8 * i });
      w.finish(`j${i}-0-condition`);
      w.fail(`j${i}-0-denoise`, "out-of-memory");
    }
    expect(recordOf(w.farm, "a").quarantined).toBe(false);
  });

  test("where such work fits into as much memory, the node is bad and an equal one will do", () => {
    const w = new FarmWorld(sized("good", 16));
    w.submit("earlier", alone);
    w.finishUpTo("mux", "earlier");
    w.send({ kind: "node-joined", node: sized("leaks", 16) });
    w.send({ kind: "node-drained", nodeId: "good" });
    w.submit("j", alone);
    w.finish("j-0-condition");
    w.send({ kind: "node-undrained", nodeId: "good" });
    w.fail(DENOISE, "out-of-memory");
    expect(w.holders(DENOISE)).toEqual(["good"]);
    expect(recordOf(w.farm, "leaks").failedJobIds).toEqual(["j"]);
  });
});

describe("what is learned", () => {
  /** The small node ran out of memory; the big one does it. */
  const learned = () => {
    const w = denoisingOn("small", withGib("small", 16), withGib("big", 48));
    w.fail(DENOISE, "out-of-memory");
    return w;
  };

  test("other tasks of the shape wait for the bigger node; other shapes do not", () => {
    const w = learned();
    w.submit("same", alone);
    w.finish("same-0-condition");
    expect(w.holders("same-0-denoise")).toBe("ready");
    w.submit("less", { ...alone, height: 32 });
    w.finish("less-0-condition");
    expect(w.holders("less-0-denoise")).toEqual(["small"]);
  });

  test("it is tried on small nodes where there are no others, and after a while", () => {
    const w = learned();
    w.submit("same", alone);
    w.finish("same-0-condition");
    w.lose("big");
    expect(w.holders("same-0-denoise")).toEqual(["small"]);

    const later = learned();
    later.submit("same", alone);
    later.finish("same-0-condition");
    later.nowMs += MEMORY_REMEMBERED_MS;
    later.send(null);
    expect(later.holders("same-0-denoise")).toEqual(["small"]);
  });

  test("the dry run says what memory each node has, and for what that is too little", () => {
    const w = learned();
    const { parameters, modelDigest } = w.farm.jobs.get("j")!;
    const options = JOB_OPTIONS_DEFAULT;
    const wanted = { modelDigest, parameters, stepsTotal: 4, imageCount: 1, options };
    expect(planDryRun(w.farm, wanted, w.nowMs).nodes).toEqual([
      { nodeId: "small", whyNot: "", memoryBytes: 16 * GIB, tooSmallFor: ["denoise"] },
      { nodeId: "big", whyNot: "", memoryBytes: 48 * GIB, tooSmallFor: [] },
    ]);
    w.lose("big");
    expect(planDryRun(w.farm, wanted, w.nowMs).whyNotNow).toContain(
      "denoise lately ran out of memory on nodes as big as these",
    );
  });
});
