/**
 * @file A pair in which a half breaks off at a chosen byte because a process dies: what has come of it
 * is never used, and the clip has the same bytes.
 */
import { beforeAll, expect, test } from "vitest";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, isMidDenoise, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { selected } from "./selection.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 20, pair: "always" };
/** From its length over its header to the numbers; a frame has some 4,500 bytes. */
const CUT_AFTER_BYTES = [1, 40, 200, 600, 1_500, 3_000, 4_400];

/** Halves go down a connection that their receiver dialled: here from node-1's bus to node-2. */
const [SENDER, RECEIVER] = ["node-1", "node-2"] as const;
const DEATHS = [
  ["who sends it", [SENDER]],
  ["who receives it", [RECEIVER]],
  ["both", [SENDER, RECEIVER]],
] as const;

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

const cuts = CUT_AFTER_BYTES.flatMap((bytes) =>
  DEATHS.map(([who, nodeIds]) => [bytes, who, nodeIds] as const),
);

test.each(selected(cuts, 2))("after %i bytes of a half, kill -9 of %s", async (bytes, _, dying) => {
  const { jobId } = await farm.submit(PARAMETERS);
  const job = farm.follow(jobId);
  await job.until((state) => isMidDenoise(state) && state.clips[0]!.plan === "pair");
  const { bus } = farm.node(SENDER);
  const cut = bus.hit("limit_data");
  bus.set("down", { kind: "limit_data", bytes });
  await cut;
  for (const nodeId of dying) farm.node(nodeId).process.kill();
  bus.heal();
  for (const nodeId of dying) {
    await farm.node(nodeId).process.ended;
    await farm.startNode(nodeId);
  }
  expect(await farm.published(await job.end())).toEqual(expected);
});
