/**
 * @file The coordinator dies before and after it noted that a job which waited for its owner's quota is
 * let in: the job is worked on once, after the one that was before it.
 */
import { afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { QUOTA_DEFAULT } from "../../shared/access/quota.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, hashesOf, stageOf, undisturbed } from "../farm/farm-harness.js";
import { selected } from "../farm/selection.js";
import { SecuredFarm, submit } from "./secured-farm.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 10 };

let expected: FileHashes;
let farm: SecuredFarm;
beforeAll(async () => {
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);
beforeEach(async () => {
  farm = await SecuredFarm.prepare();
  farm.explainFailure();
});
afterEach(() => farm.stop());

test.each(selected(["before", "after"], 1))("%s the event is kept", async (when) => {
  farm.setQuota("alice", { ...QUOTA_DEFAULT, runningJobs: 1 });
  vi.stubEnv("RENDERFARM_FAILPOINT", `job-admitted:${when}:2`);
  await farm.startCoordinator();
  vi.unstubAllEnvs();
  const doomed = farm.coordinator!;
  await farm.startNode("node-1");
  await farm.nodesJoined(1);
  const client = await farm.clientOf("alice", ["submit", "read"]);
  const first = await submit(client, PARAMETERS);
  const second = await submit(client, PARAMETERS);
  expect(await doomed.ended).toBe("exit code 137");
  await farm.startCoordinator();
  for (const { jobId } of [first, second]) {
    const ended = await farm.follow(client, jobId).end();
    expect(hashesOf(ended)).toEqual(expected);
    expect(stageOf(ended, "denoise")).toMatchObject({ attempts: 1 });
  }
});
