/**
 * @file A node that comes and goes: after three losses in a minute it has no work for a while, others
 * do what it would have taken down, and it is back when it stays or when an operator says so.
 */
import { beforeAll, expect, test, vi } from "vitest";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, stageOf, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { TRIES_ALL } from "./selection.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 10, pair: "never" };
const LOSSES = 3;
/** Of a node that is held down, and some. */
const BACK = { timeout: 60_000, interval: 200 };

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

const stateOf = async (nodeId: string) =>
  (await farm.client.getFarm()).nodes.find((node) => node.nodeId === nodeId);
const assignedTo = (nodeId: string) =>
  farm.logOf(nodeId).filter(({ msg }) => msg === "task assigned").length;

async function flap(): Promise<void> {
  for (let i = 0; i < LOSSES; i++) {
    const { process: node2 } = farm.node("node-2");
    node2.kill();
    await node2.ended;
    await farm.startNode("node-2");
    await farm.nodesJoined(2);
  }
}

test("after three losses it is held down, and has work again by an operator's word", async () => {
  await flap();
  expect(await stateOf("node-2")).toMatchObject({ refusal: "held down" });
  const before = assignedTo("node-2");
  const jobs = await Promise.all([1, 2, 3].map(() => farm.submit(PARAMETERS)));
  for (const { jobId } of jobs) {
    const ended = await farm.follow(jobId).end();
    expect(await farm.published(ended)).toEqual(expected);
    expect(stageOf(ended, "denoise")).toMatchObject({ attempts: 1, nodeIds: ["node-1"] });
  }
  expect(assignedTo("node-2")).toBe(before);
  await farm.client.undrainNode("node-2");
  expect(await stateOf("node-2")).toMatchObject({ refusal: "" });
  await farm.client.drainNode("node-1");
  expect(await farm.published(await farm.render(PARAMETERS))).toEqual(expected);
});

test.runIf(TRIES_ALL)("one that stays has work again after its time", async () => {
  await flap();
  await farm.client.drainNode("node-1");
  const { jobId } = await farm.submit(PARAMETERS);
  await vi.waitFor(
    async () => expect(await stateOf("node-2")).toMatchObject({ refusal: "" }),
    BACK,
  );
  expect(await farm.published(await farm.follow(jobId).end())).toEqual(expected);
});
