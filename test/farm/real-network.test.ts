/**
 * @file A partition of a real network: one node of a pair is behind a link of the kernel that goes down
 * and comes up again.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FarmClient } from "../../client/farm-client.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { HOUR_MS, SecuredFarm, submit } from "../access/secured-farm.js";
import { canTest } from "./can-test.js";
import {
  CLIP,
  type FileHashes,
  hashesOf,
  isMidDenoise,
  stageOf,
  undisturbed,
} from "./farm-harness.js";
import { whyNoLink } from "./room.js";
import { RoomLink } from "./room-link.js";

const PARAMETERS: JobParameters = { ...CLIP, pair: "always" };

describe.runIf(canTest("a real network", whyNoLink()))("a node behind a link", () => {
  let expected: FileHashes;
  let link: RoomLink;
  let farm: SecuredFarm;
  let client: FarmClient;
  beforeAll(async () => {
    expected = (await undisturbed(CLIP))[0]!;
  }, 60_000);
  beforeEach(async () => {
    link = await RoomLink.open();
    farm = await SecuredFarm.prepare();
    farm.explainFailure();
    await farm.startCoordinator(HOUR_MS, link.here);
    const { launcher } = link.room;
    await Promise.all([
      farm.startNode("node-1", undefined, { host: link.here, launcher: [] }),
      farm.startNode("node-2", undefined, { host: link.there, launcher }),
    ]);
    await farm.nodesJoined(2);
    client = await farm.clientOf("alice", ["submit", "read"]);
  }, 60_000);
  afterEach(async () => {
    link.heal(); // else what it had to say keeps it
    await farm.stop();
    await link.close();
  }, 60_000);

  const midPair = async () => {
    const { jobId } = await submit(client, PARAMETERS);
    const job = farm.follow(client, jobId);
    await job.until((state) => isMidDenoise(state) && state.clips[0]!.plan === "pair");
    return job;
  };

  test("the link goes down in mid-pair: the other node goes on, and both are one farm again later", async () => {
    const job = await midPair();
    link.cut();
    const ended = await job.end();
    expect(hashesOf(ended)).toEqual(expected);
    expect(ended.clips[0]!.plan).toBe("pair, then single");
    expect(stageOf(ended, "denoise")!.nodeIds).toContain("node-1");
    await farm.nodesJoined(1);
    link.heal();
    await farm.nodesJoined(2);
    expect(farm.logOf("node-2")).toContain("cut off from the coordinator");
    expect(hashesOf(await (await midPair()).end())).toEqual(expected);
    expect(await client.getJob(ended.jobId)).toEqual(ended);
  });
});
