/** @file A farm whose events and halves go through a real nats-server makes the same bytes. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CLIP, hashesOf, undisturbed } from "../farm/farm-harness.js";
import { natsServerPath } from "../servers/nats-server.js";
import { NatsFarm } from "./nats-farm.js";

describe.runIf(natsServerPath)("a farm on NATS", () => {
  let farm: NatsFarm;
  beforeAll(async () => {
    farm = await NatsFarm.start();
    const coordinator = await farm.startCoordinator();
    await Promise.all(["node-1", "node-2"].map((nodeId) => farm.startNode(nodeId)));
    await farm.nodesJoined(2, coordinator);
  });
  afterAll(() => farm.stop());
  beforeEach(() => farm.explainFailure());

  test("renders a clip as a pair, with the bytes of one node", async () => {
    const job = await farm.ended((await farm.submit()).jobId);
    expect(hashesOf(job)).toEqual((await undisturbed(CLIP))[0]);
    expect(job.clips[0]!.stages.find(({ stage }) => stage === "denoise")?.nodeIds).toHaveLength(2);
  });
});
