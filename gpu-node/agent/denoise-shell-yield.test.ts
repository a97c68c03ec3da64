import { beforeEach, expect, test } from "vitest";
import { FarmError } from "../../shared/core/errors.js";
import type { StepCheckpoint } from "../../shared/farm/work.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";
import { tensor } from "../../shared/tensor/tensor.js";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { latentsDigest } from "../stages/denoise-maths.js";
import { decodeLatents, encodeConditioning, encodeLatents } from "../stages/tensor-blobs.js";
import {
  type Bench,
  conditioning,
  expectedDigest,
  FakeBus,
  JOB,
  Replica,
} from "./denoise-bench.js";

const STEP_KEY = /^v1\/[a-z0-9]{26}\/0\/step-\d+-\d+$/;

/** A put of latents on their way, which ends as the test says. */
interface HeldPut {
  readonly key: string;
  readonly digest: string;
  finish(): Promise<void>;
  fail(error: Error): void;
}

let memory: BlobStore;
let heldPuts: HeldPut[];
let isHolding: boolean;
let bench: Bench;

beforeEach(async () => {
  memory = createMemoryBlobs();
  heldPuts = [];
  isHolding = false;
  const put = (key: string, bytes: Uint8Array): Promise<BlobRef> => {
    if (!isHolding || !STEP_KEY.test(key)) return memory.put(key, bytes);
    return new Promise((resolve, reject) => {
      const digest = latentsDigest(decodeLatents(bytes));
      // Stored when it is finished, from the very bytes that were handed over.
      const finish = async () => resolve(await memory.put(key, bytes));
      heldPuts.push({ key, digest, finish, fail: reject });
    });
  };
  const conditioningRef = await memory.put("v1/conditioning", encodeConditioning(conditioning));
  bench = { blobs: { ...memory, put } as BlobStore, bus: new FakeBus(), conditioningRef };
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Lets the replica's held runs end one after the other until so many have. */
async function finishRuns(replica: Replica, count: number): Promise<void> {
  for (let run = 0; run < count; run++) {
    await replica.until(() => replica.runtime.runs.length > run);
    replica.runtime.runs[run]!.finish();
  }
  await turn();
}

function held(
  half: "uncond" | "cond" | null = null,
  resume: StepCheckpoint | null = null,
): Replica {
  const replica = new Replica(bench);
  replica.runtime.isHeld = true;
  return replica.start(half === "cond" ? "b" : "a", half, { resume });
}

async function digestOf(checkpoint: StepCheckpoint | null): Promise<string> {
  return latentsDigest(decodeLatents(await memory.get(checkpoint!.blob)));
}

test("given back at a step and gone on with elsewhere: the same bytes, no step made twice", async () => {
  const one = held();
  await finishRuns(one, 3);
  one.shell.yield();
  one.runtime.runs[3]!.finish();
  const { checkpoint } = await one.reported("yielded");
  expect(checkpoint).toMatchObject({ step: 2, blob: { key: `v1/${JOB}/0/step-2-1` } });
  expect(await digestOf(checkpoint)).toBe(expectedDigest(2));
  await one.shell.idle;
  expect(one.runtime.runs).toHaveLength(4);

  const other = new Replica(bench).start("a", null, { resume: checkpoint });
  expect(latentsDigest(await other.latents())).toBe(expectedDigest());
  expect(other.runtime.runs).toHaveLength(4);
});

test("a pair goes on from a step as one does", async () => {
  const one = held();
  await finishRuns(one, 3);
  one.shell.yield();
  one.runtime.runs[3]!.finish();
  const { checkpoint: resume } = await one.reported("yielded");
  const [a, b] = [new Replica(bench), new Replica(bench)];
  a.start("a", "uncond", { resume });
  b.start("b", "cond", { resume });
  expect(latentsDigest(await a.latents())).toBe(expectedDigest());
  expect(latentsDigest(await b.latents())).toBe(expectedDigest());
  expect([a.runtime.runs.length, b.runtime.runs.length]).toEqual([2, 2]);
});

test("a pair that is asked in a step: both make it, and both give back the same bytes", async () => {
  const [a, b] = [held("uncond"), held("cond")];
  await Promise.all([finishRuns(a, 1), finishRuns(b, 1)]);
  // The second step is in hand once the first is reported; its run is begun a moment before.
  await Promise.all([a, b].map((replica) => replica.until(() => replica.reports.length > 0)));
  expect([a, b].map((replica) => replica.runtime.runs.length)).toEqual([2, 2]);
  a.shell.yield();
  b.shell.yield();
  a.runtime.runs[1]!.finish();
  b.runtime.runs[1]!.finish();
  for (const replica of [a, b]) {
    const { checkpoint } = await replica.reported("yielded");
    expect(checkpoint?.step).toBe(2);
    expect(await digestOf(checkpoint)).toBe(expectedDigest(2));
    await replica.shell.idle;
  }
});

test("a pair that is asked while a step's latents are hashed: both give back that step", async () => {
  const [a, b] = [held("uncond"), held("cond")];
  for (const replica of [a, b]) {
    // The second run is begun once the first step is made, before its latents are hashed.
    replica.runtime.onRun = () => {
      if (replica.runtime.runs.length === 2) queueMicrotask(() => replica.shell.yield());
    };
  }
  await Promise.all([finishRuns(a, 1), finishRuns(b, 1)]);
  for (const replica of [a, b]) {
    const { checkpoint } = await replica.reported("yielded");
    expect(checkpoint?.step).toBe(1);
    expect(await digestOf(checkpoint)).toBe(expectedDigest(1));
    replica.runtime.runs[1]!.finish();
    await replica.shell.idle;
    expect(replica.reports).toEqual(["progress in epoch 1", "yielded in epoch 1"]);
  }
});

test("one of a pair stops and the other waits for its half: it stops too, it does not hang", async () => {
  const [a, b] = [held("uncond"), held("cond")];
  await finishRuns(a, 1);
  // a waits for b's half of the first step and stops at once; b then misses nothing but the channel.
  a.shell.yield();
  expect(await a.reported("yielded")).toEqual({ kind: "yielded", checkpoint: null });
  b.shell.yield();
  await finishRuns(b, 1);
  const { checkpoint } = await b.reported("yielded");
  expect(await digestOf(checkpoint)).toBe(expectedDigest(1));
});

test("latents are saved as they were at their step, while the next ones are made", async () => {
  isHolding = true;
  const one = held();
  await finishRuns(one, 4);
  expect(heldPuts.map(({ key }) => key)).toEqual([`v1/${JOB}/0/step-1-1`]);
  expect(one.reports).toEqual(["progress in epoch 1", "progress in epoch 1"]);
  expect(one.runtime.runs).toHaveLength(5);
  await heldPuts[0]!.finish();
  const { checkpoint } = await one.reported("checkpointed");
  expect(checkpoint.step).toBe(1);
  expect(await digestOf(checkpoint)).toBe(expectedDigest(1));
  one.shell.cancel();
});

test("a task ends before its last save does, and is idle all the same", async () => {
  isHolding = true;
  const one = new Replica(bench).start("a", null);
  expect(latentsDigest(await one.latents())).toBe(expectedDigest());
  await one.shell.idle;
  await heldPuts[0]!.finish();
  await turn();
  expect(one.last?.kind).toBe("finished");
});

test("latents that the store does not take are counted, and the task goes on", async () => {
  isHolding = true;
  const one = held();
  await finishRuns(one, 2);
  heldPuts[0]!.fail(new FarmError("unreachable", "no space left"));
  await finishRuns(one, 8);
  expect(latentsDigest(await one.latents())).toBe(expectedDigest());
  expect(one.failedSaves).toEqual(["unreachable"]);
  expect(heldPuts.map(({ digest }) => digest)).toEqual([expectedDigest(1), expectedDigest(2)]);
});

test("given back at once: without the run in hand, whose end is waited for", async () => {
  const one = held();
  await finishRuns(one, 2);
  let isIdle = false;
  void one.shell.idle.then(() => {
    isIdle = true;
  });
  one.shell.giveBack();
  const { checkpoint } = await one.reported("yielded");
  expect(checkpoint?.step).toBe(1);
  await turn();
  expect(isIdle).toBe(false);
  one.runtime.runs[2]!.fail(new FarmError("runtime-failed", "the child is gone"));
  await one.shell.idle;
  expect(one.last?.kind).toBe("yielded");
});

test("wanted back while the conditioning is read: back with what it was to go on from", async () => {
  const latents = tensor([3, 4, 2, 3], new Float32Array(72));
  const resume = { step: 2, blob: await memory.put("v1/latents", encodeLatents(latents)) };
  const one = held(null, resume);
  one.shell.yield();
  await one.shell.idle;
  expect(one.last).toEqual({ kind: "yielded", checkpoint: resume });
  expect(one.runtime.runs).toEqual([]);
});

test("wanted back before it began, under the epoch of an order that came before", async () => {
  const one = held("cond");
  one.shell.continueAlone(2);
  expect(one.shell.epoch).toBe(2);
  one.shell.yield();
  await one.shell.idle;
  expect(one.reports).toEqual(["yielded in epoch 2"]);
});

const bad: [name: string, resume: () => Promise<StepCheckpoint>, code: string][] = [
  [
    "that are not in the store",
    async () => ({ step: 1, blob: { key: "v1/nothing", sha256: "", size: 1 } }),
    "blob-missing",
  ],
  [
    "of another shape",
    async () => {
      const latents = tensor([1, 4, 2, 3], new Float32Array(24));
      return { step: 1, blob: await memory.put("v1/latents", encodeLatents(latents)) };
    },
    "blob-corrupt",
  ],
  [
    "that are no latents",
    async () => ({ step: 1, blob: await memory.put("v1/latents", new Uint8Array(9)) }),
    "blob-corrupt",
  ],
  [
    "of a step that the clip does not have",
    async () => {
      const latents = tensor([3, 4, 2, 3], new Float32Array(72));
      return { step: 5, blob: await memory.put("v1/latents", encodeLatents(latents)) };
    },
    "invalid-argument",
  ],
];
test.each(bad)("latents %s are nothing to go on from", async (_name, resume, code) => {
  const one = held(null, await resume());
  expect(await one.reported("failed")).toMatchObject({ code });
  await one.shell.idle;
});

test("a node that slept beyond its lease sends no frame and no report when it wakes", async () => {
  const sent: number[] = [];
  bench.bus.onSend = (header) => {
    sent.push(header.step);
    return header;
  };
  const one = held("uncond");
  await one.until(() => one.runtime.runs.length === 1);
  one.holdsLease = false;
  one.runtime.runs[0]!.finish();
  await one.shell.idle;
  expect([sent, one.reports]).toEqual([[], []]);
});

test("a node that slept beyond its lease acts on no frame that waited for it", async () => {
  const [a, b] = [held("uncond"), held("cond")];
  await finishRuns(a, 1);
  await b.until(() => b.runtime.runs.length === 1);
  a.holdsLease = false;
  b.runtime.runs[0]!.finish();
  await a.shell.idle;
  expect(a.reports).toEqual([]);
  b.shell.cancel();
});
