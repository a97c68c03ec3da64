import { expect, test } from "vitest";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { FarmWorld, node } from "../../test/plan/farm-world.js";
import { collectGarbage } from "./janitor.js";
import { sweepJob } from "./sweep.js";

const JOB = "j".repeat(26);
const GONE = "g".repeat(26);
const OWNED = "v1/inputs/aaaaaaaaaaaaaaaaaaaaaaaaaa";
const UNUSED = "v1/inputs/bbbbbbbbbbbbbbbbbbbbbbbbbb";
const HOUR_MS = 3_600_000;

async function store() {
  const blobs = createMemoryBlobs();
  const keys = [
    ...[OWNED, UNUSED, "somebody/elses"],
    ...[`v1/${JOB}/0/latents-1`, `v1/${JOB}/0/out-4/clip.mp4`, `v1/${JOB}/0/manifest-1.json`],
    `v1/${GONE}/0/latents-1`,
  ];
  for (const key of keys) await blobs.put(key, new Uint8Array(10));
  const w = new FarmWorld(node("a"));
  w.submit(JOB, { options: { images: [{ key: OWNED, sha256: "0", size: 10 }] } });
  return { blobs, farm: w.farm, keys: () => [...blobs.contents.keys()] };
}

test("what no job owns is counted by a dry run and removed by a real one, nothing else", async () => {
  const { blobs, farm, keys } = await store();
  const before = keys();
  const garbage = { blobs: 2, bytes: 20 };
  expect(await collectGarbage(blobs, farm, { dryRun: true, nowMs: HOUR_MS })).toEqual(garbage);
  expect(keys()).toEqual(before);
  expect(await collectGarbage(blobs, farm, { dryRun: false, nowMs: HOUR_MS })).toEqual(garbage);
  expect(before.filter((key) => !keys().includes(key))).toEqual([UNUSED, `v1/${GONE}/0/latents-1`]);
});

test("young blobs are spared: their job may be about to be created", async () => {
  const { blobs, farm } = await store();
  const young = { dryRun: false, nowMs: HOUR_MS - 1 };
  expect(await collectGarbage(blobs, farm, young)).toEqual({ blobs: 0, bytes: 0 });
});

test.each([
  [false, 1, ["manifest-1.json", "out-4/clip.mp4"]],
  [true, 3, []],
])("a sweep of a job, outputs too: %s", async (outputs, count, left) => {
  const { blobs, keys } = await store();
  expect(await sweepJob(blobs, { jobId: JOB, outputs, isWanted: () => true })).toBe(count);
  const prefix = `v1/${JOB}/0/`;
  const rest = keys().filter((key) => key.startsWith(prefix));
  expect(rest.map((key) => key.slice(prefix.length)).sort()).toEqual(left);
});
