/** @file Bad networks: slow ones make a clip late, broken ones cost a step, none changes a byte. */
import { beforeAll, describe, expect, test } from "vitest";
import type { JobView } from "../../shared/farm/job.js";
import { CLIP, type FileHashes, isMidDenoise, stageOf, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { selected } from "./selection.js";
import type { Direction, TcpProxy, Toxic } from "./tcp-proxy.js";

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(CLIP))[0]!;
}, 60_000);

const links = () => [...farm.nodes.values()].map((node) => node.link);
const buses = () => [...farm.nodes.values()].map((node) => node.bus);
const attemptsOf = (job: JobView) =>
  Object.fromEntries(job.clips[0]!.stages.map(({ stage, attempts }) => [stage, attempts]));
/** Each stage granted once, each chunk once. */
const ONCE = { condition: 1, denoise: 1, decode: 2, mux: 1 };
/** What nodes logged of frames and connections that they did not take. */
const refusals = () =>
  [...farm.nodes.keys()]
    .flatMap((nodeId) => farm.logOf(nodeId))
    .flatMap(({ what, msg, reason }) =>
      msg === "a frame of the partner was not used" ? [reason] : what ? [what] : [],
    );
/** How often nodes were cut off from the coordinator. */
const cutOffs = () =>
  [...farm.nodes.keys()]
    .flatMap((nodeId) => farm.logOf(nodeId))
    .filter(({ msg }) => String(msg).startsWith("cut off")).length;

async function pairInMidDenoise() {
  const { jobId } = await farm.submit({ pair: "always" });
  const job = farm.follow(jobId);
  await job.until((state) => isMidDenoise(state) && state.clips[0]!.plan === "pair");
  return job;
}

describe("slow, but whole: nobody is given up", () => {
  const slow: [where: string, proxies: () => TcpProxy[], toxics: Toxic[], steps: number][] = [
    ["500 ms to the coordinator", links, [{ kind: "latency", ms: 500 }], 40],
    ["1 byte at a time to the coordinator", links, [{ kind: "slicer", bytes: 1 }], 40],
    ["500 ms between the nodes", buses, [{ kind: "latency", ms: 500 }], 6],
    ["1 byte at a time between the nodes", buses, [{ kind: "slicer", bytes: 1 }], 6],
    ["64 KB/s between the nodes", buses, [{ kind: "bandwidth", bytesPerS: 65_536 }], 40],
  ];
  test.each(selected(slow, 3))("%s", async (_where, proxies, toxics, numInferenceSteps) => {
    const before = cutOffs();
    const undelayed = await farm.render({ pair: "always", numInferenceSteps });
    for (const proxy of proxies()) proxy.setBoth(...toxics);
    const job = await farm.render({ pair: "always", numInferenceSteps });
    expect(await farm.published(job)).toEqual(await farm.published(undelayed));
    expect(attemptsOf(job)).toEqual(ONCE);
    expect(job.clips[0]!.plan).toBe("pair");
    expect(cutOffs()).toBe(before);
  });
});

describe("between a node and the coordinator", () => {
  const ways: [name: string, ways: readonly Direction[]][] = [
    ["both ways", ["up", "down"]],
    ["on the way to it", ["up"]],
    ["on the way back", ["down"]],
  ];
  test.each(selected(ways, 2))(
    "a black hole %s: after the lease the other node goes on",
    async (_, ways) => {
      const { jobId } = await farm.submit({ pair: "never" });
      const job = farm.follow(jobId);
      const [cut] = stageOf(await job.until(isMidDenoise), "denoise")!.nodeIds;
      for (const way of ways) farm.node(cut!).link.set(way, { kind: "timeout" });

      const ended = await job.end();
      expect(await farm.published(ended)).toEqual(expected);
      const workers = ended.clips[0]!.stages.flatMap((stage) => stage.nodeIds);
      expect(new Set(workers).size).toBe(2);
      await farm.nodesJoined(1);
      farm.node(cut!).link.heal();
      await farm.nodesJoined(2);
      const next = await farm.render({ pair: "always" });
      expect(await farm.published(next)).toEqual(expected);
      expect(await farm.client.getJob(jobId)).toEqual(ended);
    },
  );

  test("a reset: it dials again at once, and nothing waits for the lease", async () => {
    const { jobId } = await farm.submit({ pair: "never" });
    const job = farm.follow(jobId);
    const [cut] = stageOf(await job.until(isMidDenoise), "denoise")!.nodeIds;
    farm.node(cut!).link.set("up", { kind: "reset_peer" });
    farm.node(cut!).link.heal();
    expect(await farm.published(await job.end())).toEqual(expected);
    await farm.nodesJoined(2);
  });
});

/** A node dials its partner's bus to be sent halves: they come down. */
describe("between the nodes of a pair", () => {
  const broken: [name: string, toxic: Toxic][] = [
    ["a cut", { kind: "reset_peer" }],
    ["a cut within a half", { kind: "limit_data", bytes: 2_000 }],
    ["a black hole", { kind: "timeout" }],
  ];
  test.each(broken)("%s: one goes on alone from the same step", async (_name, toxic) => {
    const job = await pairInMidDenoise();
    for (const bus of buses()) bus.setBoth(toxic);
    const ended = await job.end();
    expect(await farm.published(ended)).toEqual(expected);
    expect(ended.clips[0]!.plan).toBe("pair, then single");
    expect(stageOf(ended, "denoise")!.attempts).toBe(1);
  });

  test("one bit of a half: it is not used, and it is told", async () => {
    const job = await pairInMidDenoise();
    const before = refusals().length;
    const [bus] = buses();
    const hit = bus!.hit("flip_bit");
    bus!.set("down", { kind: "flip_bit", atByte: 3_000 });
    await hit;
    const ended = await job.end();
    expect(await farm.published(ended)).toEqual(expected);
    expect(refusals().slice(before)).not.toEqual([]);
  });

  test("a piece that comes twice: it is used once", async () => {
    const job = await pairInMidDenoise();
    const before = refusals().length;
    const [bus] = buses();
    const hit = bus!.hit("duplicate");
    bus!.set("down", { kind: "duplicate", atByte: 0 });
    await hit;
    expect(await farm.published(await job.end())).toEqual(expected);
    expect(refusals().slice(before)).not.toEqual([]);
  });
});
