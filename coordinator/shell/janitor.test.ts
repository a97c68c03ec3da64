import { expect, test } from "vitest";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { FarmWorld, node } from "../../test/plan/farm-world.js";
import { Janitor } from "./janitor.js";
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

/** The store's blobs were put at the hour 0. */
async function janitorAt(nowMs: number) {
  const { blobs, farm, keys } = await store();
  const janitor = new Janitor(blobs, { farm, settled: async () => {}, nowMs: () => nowMs });
  return { janitor, blobs, farm, keys };
}

test("what no job owns is counted by a dry run and removed by a real one, nothing else", async () => {
  const { janitor, keys } = await janitorAt(HOUR_MS);
  const before = keys();
  const garbage = { blobs: 2, bytes: 20 };
  expect(await janitor.collect({ dryRun: true })).toEqual(garbage);
  expect(keys()).toEqual(before);
  expect(await janitor.collect({ dryRun: false })).toEqual(garbage);
  expect(before.filter((key) => !keys().includes(key))).toEqual([UNUSED, `v1/${GONE}/0/latents-1`]);
});

test("young blobs are spared: their job may be about to be created", async () => {
  const { janitor } = await janitorAt(HOUR_MS - 1);
  expect(await janitor.collect({ dryRun: false })).toEqual({ blobs: 0, bytes: 0 });
});

test("blobs that a clock put into the future are not young for as long", async () => {
  const { janitor } = await janitorAt(-HOUR_MS);
  expect(await janitor.collect({ dryRun: true })).toEqual({ blobs: 2, bytes: 20 });
});

test("what is written for a swept job afterwards goes, its finished files stay", async () => {
  const { janitor, farm, keys } = await janitorAt(HOUR_MS);
  farm.jobs.set(JOB, { ...farm.jobs.get(JOB)!, swept: true });
  await janitor.collect({ dryRun: false });
  const left = keys().filter((key) => key.includes(JOB));
  expect(left).toEqual([`v1/${JOB}/0/out-4/clip.mp4`, `v1/${JOB}/0/manifest-1.json`]);
});

test("an old upload that a call names is spared until the call is over", async () => {
  const { janitor, keys } = await janitorAt(HOUR_MS);
  const release = janitor.claim([UNUSED]);
  await janitor.collect({ dryRun: false });
  expect(keys()).toContain(UNUSED);
  release();
  await janitor.collect({ dryRun: false });
  expect(keys()).not.toContain(UNUSED);
});

test("an upload that is being removed cannot be claimed any more", async () => {
  const { janitor, blobs } = await janitorAt(HOUR_MS);
  const { remove } = blobs;
  let refusal: unknown = null;
  blobs.remove = (key) => {
    try {
      if (key === UNUSED) janitor.claim([UNUSED]);
    } catch (error) {
      refusal = error;
    }
    return remove.call(blobs, key);
  };
  await janitor.collect({ dryRun: false });
  expect(refusal).toMatchObject({ code: "blob-missing", detail: expect.stringContaining(UNUSED) });
  janitor.claim([UNUSED])();
});

test("two rounds at once remove each blob once", async () => {
  const { janitor } = await janitorAt(HOUR_MS);
  const rounds = await Promise.all([0, 1].map(() => janitor.collect({ dryRun: false })));
  expect(rounds.reduce((sum, { blobs }) => sum + blobs, 0)).toBe(2);
});

test("what the journal does not know to be an orphan stays, and so does what found an owner", async () => {
  const { blobs, farm, keys } = await store();
  const settled = async () => {
    farm.jobs.set(GONE, farm.jobs.get(JOB)!);
  };
  const janitor = new Janitor(blobs, { farm, settled, nowMs: () => HOUR_MS });
  await janitor.collect({ dryRun: false });
  expect(keys()).toContain(`v1/${GONE}/0/latents-1`);
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
