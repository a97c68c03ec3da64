/**
 * @file The coordinator dies before and after it noted that a job's intermediates, or the whole job, are
 * to go: they go, what is to stay stays, and what the dead one left is garbage that is collected.
 */
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import type { JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { insist } from "./insist.js";
import { selected } from "./selection.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 10 };
/** Blobs that are younger are no garbage. */
const SPARED_S = 3_600;
const PATIENCE = { timeout: 30_000, interval: 50 };

const theFarm = sharedFarm(1);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);
afterEach(async () => {
  farm.coordinatorEnv = {};
  await farm.killCoordinator(); // the next one keeps what it makes
});

interface Story {
  readonly event: "job-swept" | "job-deleted";
  readonly settings: Readonly<Record<string, string>>;
  /** What a client does after the job's end; the coordinator may be dead. */
  readonly ask: (job: JobView) => Promise<unknown>;
}

const sweptByAge: Story = {
  event: "job-swept",
  settings: { RENDERFARM_KEEP_INTERMEDIATES: "1s" },
  ask: async () => {},
};
const deletedByAge: Story = {
  event: "job-deleted",
  settings: { RENDERFARM_KEEP_INTERMEDIATES: "1s", RENDERFARM_KEEP_OUTPUTS: "1s" },
  ask: async () => {},
};
const deletedByVerb: Story = {
  event: "job-deleted",
  settings: {},
  ask: ({ jobId }) => insist(() => farm.client.deleteJob(jobId), ["not-found"]),
};

const stories = [
  ["intermediates that have served", sweptByAge],
  ["a job past its time", deletedByAge],
  ["a job that its owner deletes", deletedByVerb],
] as const;
const points = stories.flatMap(([name, story]) =>
  (["before", "after"] as const).map((when) => [name, when, story] as const),
);

/** Every blob of a job, once whatever has no owner was collected. */
async function blobsLeft({ jobId }: JobView): Promise<string[]> {
  const blobs = await FileBlobStore.open(join(farm.data, "blobs"));
  const twiceAgoS = Date.now() / 1_000 - 2 * SPARED_S;
  for await (const { key } of blobs.list("")) {
    utimesSync(join(farm.data, "blobs", key), twiceAgoS, twiceAgoS);
  }
  await insist(() => farm.client.collectGarbage(false));
  const keys: string[] = [];
  for await (const { key } of blobs.list(`v1/${jobId}/`)) keys.push(key);
  return keys;
}

test.each(selected(points, 2))("%s, %s the event is kept", async (_name, when, story) => {
  await farm.killCoordinator();
  farm.coordinatorEnv = story.settings;
  const doomed = await farm.startDoomedCoordinator(`${story.event}:${when}:1`);
  const { jobId } = await insist(() => farm.submit(PARAMETERS));
  const ended = await insist(() => farm.follow(jobId).end());
  await story.ask(ended);
  await doomed.replaced;

  if (story.event === "job-deleted") {
    await vi.waitFor(
      () => expect(farm.client.getJob(jobId)).rejects.toThrow(/\[not-found\]/),
      PATIENCE,
    );
    expect(await blobsLeft(ended)).toEqual([]);
    return;
  }
  const swept = await vi.waitFor(async () => {
    const job = await farm.client.getJob(jobId);
    expect(job.clips[0]!.stepsKept).toEqual([]);
    return job;
  }, PATIENCE);
  const { outputs } = swept.clips[0]!;
  const finished = [...outputs.map(({ blob }) => blob.key), `v1/${jobId}/0/manifest-1.json`];
  expect((await blobsLeft(ended)).sort()).toEqual(finished.sort());
  expect(await farm.published(swept)).toEqual(expected);
});
