import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import { FarmError } from "../../shared/core/errors.js";
import type { FrameHeader } from "../../shared/ports/tensor-bus.js";
import { latentsDigest } from "../stages/denoise-maths.js";
import { encodeConditioning } from "../stages/tensor-blobs.js";
import {
  type Bench,
  conditioning,
  expectedDigest,
  FakeBus,
  JOB,
  Replica,
} from "./denoise-bench.js";

let folder: string;
let bench: Bench;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "denoise-"));
  const blobs = await FileBlobStore.open(folder);
  const conditioningRef = await blobs.put("v1/conditioning", encodeConditioning(conditioning));
  bench = { blobs, bus: new FakeBus(), conditioningRef };
});
afterEach(() => rm(folder, { recursive: true }));

const TASK_CHANNEL = `${JOB}-0-denoise.1`;

test("alone: the steps are made, reported, and the latents stored under the grant's epoch", async () => {
  const one = new Replica(bench).start("a", null);
  expect(latentsDigest(await one.latents())).toBe(expectedDigest());
  expect(one.reports).toEqual([
    ...Array<string>(4).fill("progress in epoch 1"),
    "ending in epoch 1",
    "finished in epoch 1",
  ]);
  expect(one.last).toMatchObject({ result: { blob: { key: `v1/${JOB}/0/latents-1` } } });
  expect(one.runtime.runs.map((run) => run.graph)).toEqual(
    Array(8).fill({ module: "unet", frames: 3, height: 2, width: 3 }),
  );
  await one.shell.idle;
});

test("a pair: both replicas store the same bytes as one alone, each with half of the runs", async () => {
  const [a, b] = [new Replica(bench).start("a", "uncond"), new Replica(bench).start("b", "cond")];
  expect(latentsDigest(await a.latents())).toBe(expectedDigest());
  expect(latentsDigest(await b.latents())).toBe(expectedDigest());
  expect([a.runtime.runs.length, b.runtime.runs.length]).toEqual([4, 4]);
  expect([a.dropped, b.dropped]).toEqual([[], []]);
});

test("a pair: the next half is under way before the step is reported, while the latents are hashed", async () => {
  const a = new Replica(bench);
  const reportsAtRun: number[] = [];
  a.runtime.onRun = () => reportsAtRun.push(a.reports.length);
  a.start("a", "uncond");
  const b = new Replica(bench).start("b", "cond");
  await Promise.all([a.reported("finished"), b.reported("finished")]);
  expect(reportsAtRun).toEqual([0, 0, 1, 2]);
});

test("a pair: what the runtime is given goes out before the latents are hashed, and the step reported", async () => {
  const [a, b] = [new Replica(bench), new Replica(bench)];
  const reportsATurnLater: number[] = [];
  a.runtime.onRun = () => setImmediate(() => reportsATurnLater.push(a.reports.length));
  a.start("a", "uncond");
  b.start("b", "cond");
  await Promise.all([a.reported("finished"), b.reported("finished")]);
  expect(reportsATurnLater.slice(1)).toEqual([0, 1, 2]);
});

test("a pair: a task that is cancelled while its latents are hashed says no more", async () => {
  const [a, b] = [new Replica(bench), new Replica(bench)];
  for (const replica of [a, b]) {
    replica.runtime.onRun = () => {
      if (replica.runtime.runs.length === 2) queueMicrotask(() => replica.shell.cancel());
    };
  }
  a.start("a", "uncond");
  b.start("b", "cond");
  await Promise.all([a.shell.idle, b.shell.idle]);
  expect([a.reports, b.reports]).toEqual([[], []]);
  expect([a.runtime.runs.length, b.runtime.runs.length]).toEqual([2, 2]);
});

test("a pair in float16 sends each half in half the bytes, and stores what one alone does", async () => {
  const sent: string[] = [];
  bench.bus.onSend = (header) => {
    // After the last step each tells its latents' digest, without a half.
    if (header.step < 4) sent.push(header.dtype);
    return header;
  };
  const [alone, a, b] = [new Replica(bench), new Replica(bench), new Replica(bench)];
  for (const replica of [alone, a, b]) replica.runtime.dtype = "float16";
  expect(latentsDigest(await alone.start("a", null).latents())).toBe(expectedDigest(4, "float16"));
  a.start("a", "uncond");
  b.start("b", "cond");
  expect(latentsDigest(await a.latents())).toBe(expectedDigest(4, "float16"));
  expect(latentsDigest(await b.latents())).toBe(expectedDigest(4, "float16"));
  expect(sent).toEqual(Array(8).fill("F16"));
  expect(expectedDigest(4, "float16")).not.toBe(expectedDigest());
});

test("a partner that dies in mid-clip: the survivor ends with the same bytes", async () => {
  const a = new Replica(bench);
  const b = new Replica(bench);
  bench.bus.onSend = (header) => {
    if (header.half === "cond" && header.step === 2) {
      queueMicrotask(() => bench.bus.kill("a", TASK_CHANNEL));
      return null;
    }
    return header;
  };
  a.start("a", "uncond");
  b.start("b", "cond");
  expect(await a.reported("pair-broken")).toMatchObject({ step: 2, reason: "killed" });
  a.shell.continueAlone(2);
  b.shell.cancel();
  expect(latentsDigest(await a.latents())).toBe(expectedDigest());
  expect(a.reports.slice(-4)).toEqual([
    "progress in epoch 2",
    "progress in epoch 2",
    "ending in epoch 2",
    "finished in epoch 2",
  ]);
  // Two steps of its own half, then one half at hand and three to compute.
  expect(a.runtime.runs).toHaveLength(3 + 1 + 2);
  await b.shell.idle;
});

const spoilt: [name: string, change: Partial<FrameHeader>, reason: string][] = [
  ["another clip", { clipId: `${JOB}-1` }, "clip"],
  ["another job", { jobId: "z".repeat(26) }, "clip"],
  ["another shape", { shape: [1] }, "shape"],
  ["another epoch", { epoch: 7 }, "epoch"],
  ["another plan", { planHash: "x" }, "plan-hash"],
];

test.each(spoilt)(
  "a frame of %s is dropped, and the pair breaks in time",
  async (_, change, why) => {
    const a = new Replica(bench);
    const b = new Replica(bench);
    bench.bus.onSend = (header) => (header.half === "cond" ? { ...header, ...change } : header);
    a.start("a", "uncond");
    b.start("b", "cond");
    await a.until(() => a.dropped.length > 0 && a.clock.pendingCount > 0);
    expect(new Set(a.dropped)).toEqual(new Set([why]));
    a.clock.advance(60_000);
    expect(await a.reported("pair-broken")).toMatchObject({
      reason: "no cond half of step 0 came within 60000 ms",
    });
    a.shell.cancel();
    b.shell.cancel();
  },
);

test("a fault of the runtime is reported with its code", async () => {
  const one = new Replica(bench);
  one.runtime.isHeld = true;
  one.start("a", null);
  await one.until(() => one.runtime.runs.length === 1);
  one.runtime.runs[0]!.fail(new FarmError("numerical", "NaN in out_sample"));
  await one.until(() => one.last !== null);
  expect(one.last).toEqual({ kind: "failed", code: "numerical", detail: "NaN in out_sample" });
  await one.shell.idle;
});

test("conditioning that is not there is reported, also when the order to go on alone crosses it", async () => {
  const one = new Replica(bench);
  one.start("a", "cond", { conditioning: { ...bench.conditioningRef, key: "v1/nothing" } });
  await one.until(() => one.last !== null);
  one.shell.continueAlone(2);
  expect(one.reports).toEqual(["failed in epoch 1", "failed in epoch 2"]);
  expect(one.last).toMatchObject({ code: "blob-missing" });
});

test("a cancel while the conditioning is read: nothing is computed, nothing reported", async () => {
  const one = new Replica(bench).start("a", null);
  one.shell.cancel();
  await one.shell.idle;
  expect([one.runtime.runs, one.reports]).toEqual([[], []]);
});

test("a cancel in the middle of a run: idle only when the run has ended", async () => {
  const one = new Replica(bench);
  one.runtime.isHeld = true;
  one.start("a", null);
  await one.until(() => one.runtime.runs.length === 1);
  let isIdle = false;
  void one.shell.idle.then(() => {
    isIdle = true;
  });
  one.shell.cancel();
  await new Promise((resolve) => setImmediate(resolve));
  expect(isIdle).toBe(false);
  one.runtime.runs[0]!.finish();
  await one.shell.idle;
  expect(one.reports).toEqual([]);
});

test("previews are shown by the conditional half of a pair alone, and only where the job asks", async () => {
  const asked = { preview: true };
  const a = new Replica(bench).start("a", "uncond", asked);
  const b = new Replica(bench).start("b", "cond", asked);
  await Promise.all([a.reported("finished"), b.reported("finished")]);
  await b.until(() => b.shown.length > 0);
  expect(a.shown).toEqual([]);
  expect(b.shown[0]).toBe(1);

  const silent = new Replica(bench).start("a", null);
  await silent.reported("finished");
  expect(silent.shown).toEqual([]);
});
