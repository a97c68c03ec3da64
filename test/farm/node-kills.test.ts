/**
 * @file Nodes die, lose their runtime and freeze, at every step and stage, alone and together: the
 * clip ends once, with the same bytes.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import type { JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { Stage } from "../../shared/farm/work.js";
import { CLIP, type FileHashes, isMidDenoise, stageOf, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { selected, TRIES_ALL } from "./selection.js";

const STEPS = 20;
const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: STEPS };
const NODE_IDS = ["node-1", "node-2"] as const;

const theFarm = sharedFarm(NODE_IDS.length);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

type Victim = "agent" | "runtime";

function kill(victim: Victim, nodeIds: readonly string[]): void {
  const pids = nodeIds.map((nodeId) =>
    victim === "agent" ? farm.node(nodeId).process.pid! : farm.runtimePid(nodeId),
  );
  for (const pid of pids) process.kill(pid, "SIGKILL");
}

/** Starts what has ended, as a supervisor of processes would. */
async function restartEnded(): Promise<void> {
  const ended = [...farm.nodes.values()].filter((node) => node.process.hasEnded);
  await Promise.all(ended.map((node) => farm.startNode(node.nodeId)));
}

const workersOf = (job: JobView, stage: Stage) => stageOf(job, stage)!.nodeIds;

type Plan = readonly [name: string, pair: "never" | "always", victims: "one" | "all"];
const plans: Plan[] = [
  ["the only one that works on it", "never", "all"],
  ["one of a pair", "always", "one"],
  ["both of a pair", "always", "all"],
];

const kills = plans.flatMap(([name, pair, victims]) =>
  (["agent", "runtime"] as const).flatMap((victim) =>
    Array.from(
      { length: STEPS },
      (_, step) =>
        [`${victim} of ${name}, at step ${step}`, { pair, victims, victim, step }] as const,
    ),
  ),
);

describe("kill -9 in mid-denoise", () => {
  test.each(selected(kills, 6))("%s", async (_name, fault) => {
    const { jobId } = await farm.submit({ ...PARAMETERS, pair: fault.pair });
    const job = farm.follow(jobId);
    const begun = await job.until(
      (state) => stageOf(state, "denoise") !== undefined && state.clips[0]!.stepsDone >= fault.step,
    );
    const workers = workersOf(begun, "denoise");
    kill(fault.victim, fault.victims === "all" ? workers : workers.slice(0, 1));
    await Promise.all(
      fault.victim === "agent" ? workers.slice(0, 1).map((id) => farm.node(id).process.ended) : [],
    );
    await restartEnded();
    expect(await farm.published(await job.end())).toEqual(expected);
  });
});

describe("kill -9 in another stage", () => {
  const stages = (["condition", "decode", "mux"] as const).flatMap((stage) =>
    (["agent", "runtime"] as const).map((victim) => [victim, stage] as const),
  );
  test.each(selected(stages, 3))("%s, at %s", async (victim, stage) => {
    const { jobId } = await farm.submit(PARAMETERS);
    const job = farm.follow(jobId);
    const begun = await job.until((state) => stageOf(state, stage) !== undefined);
    kill(victim, workersOf(begun, stage).slice(0, 1));
    expect(await farm.published(await job.end())).toEqual(expected);
  });
});

describe("frozen by SIGSTOP", () => {
  test("an agent, for less than its lease: it is only slower", async () => {
    const { jobId } = await farm.submit({ ...PARAMETERS, pair: "always" });
    const job = farm.follow(jobId);
    await job.until(isMidDenoise);
    const { pid } = farm.node("node-1").process;
    process.kill(pid!, "SIGSTOP");
    await sleep(1_500); // the fault itself: far from both the lease and a partner's deadline
    process.kill(pid!, "SIGCONT");
    const ended = await job.end();
    expect(await farm.published(ended)).toEqual(expected);
    expect(ended.clips[0]!.plan).toBe("pair");
    expect(stageOf(ended, "denoise")!.attempts).toBe(1);
  });

  test("the only agent, past its lease: another one goes on, and the first fences itself", async () => {
    const { jobId } = await farm.submit({ ...PARAMETERS, pair: "never" });
    const job = farm.follow(jobId);
    const [frozen] = workersOf(await job.until(isMidDenoise), "denoise");
    const { pid } = farm.node(frozen!).process;
    process.kill(pid!, "SIGSTOP");
    const ended = await job.end();
    expect(await farm.published(ended)).toEqual(expected);
    expect(workersOf(ended, "denoise")).toHaveLength(2);

    process.kill(pid!, "SIGCONT");
    await farm.nodesJoined(2);
    const fenced = farm.logOf(frozen!).filter(({ msg }) => String(msg).startsWith("cut off"));
    expect(fenced).not.toEqual([]);
    expect(await farm.client.getJob(jobId)).toEqual(ended);
    expect(await farm.published(ended)).toEqual(expected);
  });

  test("a runtime child of a pair: the partner goes on, and the child is no harm when it wakes", async () => {
    const { jobId } = await farm.submit({ ...PARAMETERS, pair: "always" });
    const job = farm.follow(jobId);
    await job.until(isMidDenoise);
    const pid = farm.runtimePid("node-1");
    process.kill(pid, "SIGSTOP");
    await job.until((state) => state.clips[0]!.plan === "pair, then single");
    process.kill(pid, "SIGCONT");
    const ended = await job.end();
    expect(await farm.published(ended)).toEqual(expected);
    expect(await farm.published(await farm.render({ ...PARAMETERS, pair: "never" }))).toEqual(
      expected,
    );
  });

  const alone = TRIES_ALL ? ["node-1", "node-2"] : [];
  test.each(alone)("the only runtime child, of %s: it is replaced", async (nodeId) => {
    await farm.client.drainNode(nodeId === "node-1" ? "node-2" : "node-1");
    const { jobId } = await farm.submit(PARAMETERS);
    const job = farm.follow(jobId, 120_000);
    await job.until(isMidDenoise);
    const pid = farm.runtimePid(nodeId);
    process.kill(pid, "SIGSTOP");
    const ended = await job.end();
    expect(await farm.published(ended)).toEqual(expected);
    expect(farm.runtimePid(nodeId)).not.toBe(pid);
  });
});
