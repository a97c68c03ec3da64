/** @file Nodes that die, freeze or lose their runtime: the clip is finished, with the same bytes. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startCli } from "./cli-process.js";
import {
  CHECKPOINT,
  CLIP,
  type FileHashes,
  hashesOf,
  isMidDenoise,
  PICTURE,
  stageOf,
  startFarm,
  undisturbed,
} from "./farm-harness.js";

let expected: FileHashes;
beforeAll(async () => {
  expected = (await undisturbed(CLIP))[0]!;
});

describe("two nodes denoise one clip", () => {
  test("one is killed: the other goes on alone from the same step", async () => {
    const farm = await startFarm(2);
    const { jobId } = await farm.submit({ pair: "always" });
    const job = farm.follow(jobId);
    const before = await job.until(isMidDenoise);
    const [lost, survivor] = stageOf(before, "denoise")!.nodeIds;
    process.kill(farm.agentPid(lost!), "SIGKILL");

    const ended = await job.end();
    expect(hashesOf(ended)).toEqual(expected);
    expect(ended.clips[0]!.plan).toBe("pair, then single");
    expect(stageOf(ended, "denoise")!.attempts).toBe(1);
    expect(stageOf(ended, "decode")!.nodeIds).toEqual([survivor]);
    const steps = job.seen.map((state) => state.clips[0]!.stepsDone);
    expect(steps).toEqual([...steps].sort((a, b) => a - b));
  });

  test("one is killed while features are cached: the other makes those of its half again", async () => {
    const cached = { ...CLIP, numInferenceSteps: 6, cacheInterval: 3 };
    const [whole] = await undisturbed(cached);
    expect(whole).not.toEqual(expected);
    const farm = await startFarm(2);
    const { jobId } = await farm.submit({ ...cached, pair: "always" });
    const job = farm.follow(jobId);
    const [lost] = stageOf(await job.until(isMidDenoise), "denoise")!.nodeIds;
    process.kill(farm.agentPid(lost!), "SIGKILL");
    expect(hashesOf(await job.end())).toEqual(whole);
  });

  test("one freezes: the other goes on alone, and what the frozen one says later changes nothing", async () => {
    const farm = await startFarm(2);
    const { jobId } = await farm.submit({ pair: "always" });
    const job = farm.follow(jobId);
    const before = await job.until(isMidDenoise);
    const [survivor, frozen] = stageOf(before, "denoise")!.nodeIds;
    const frozenPid = farm.agentPid(frozen!);
    process.kill(frozenPid, "SIGSTOP");

    const ended = await job.end();
    expect(hashesOf(ended)).toEqual(expected);
    expect(ended.clips[0]!.plan).toBe("pair, then single");
    expect(stageOf(ended, "decode")!.nodeIds).toEqual([survivor]);

    await farm.nodesJoined(1);
    process.kill(frozenPid, "SIGCONT");
    await farm.nodesJoined(2);
    expect(farm.agentPid(frozen!)).toBe(frozenPid);
    const next = await farm.render({ pair: "always" });
    expect(hashesOf(next)).toEqual(expected);
    expect(next.clips[0]!.plan).toBe("pair");
    expect(await farm.client.getJob(jobId)).toEqual(ended);
  });

  test("one loses its runtime child: the step's work is done again by a new child", async () => {
    const farm = await startFarm(2);
    const { jobId } = await farm.submit({ pair: "always" });
    const job = farm.follow(jobId);
    const [hit] = stageOf(await job.until(isMidDenoise), "denoise")!.nodeIds;
    const agentPid = farm.agentPid(hit!);
    process.kill(farm.runtimePid(hit!), "SIGKILL");

    expect(hashesOf(await job.end())).toEqual(expected);
    expect(farm.agentPid(hit!)).toBe(agentPid);
    await farm.nodesJoined(2);
  });
});

describe("one node denoises", () => {
  test("it is killed: an idle one does the work again", async () => {
    const farm = await startFarm(2);
    const { jobId } = await farm.submit({ pair: "never" });
    const job = farm.follow(jobId);
    const [lost] = stageOf(await job.until(isMidDenoise), "denoise")!.nodeIds;
    const other = lost === "node-1" ? "node-2" : "node-1";
    process.kill(farm.agentPid(lost!), "SIGKILL");

    const ended = await job.end();
    expect(hashesOf(ended)).toEqual(expected);
    expect(stageOf(ended, "denoise")).toMatchObject({ attempts: 2, nodeIds: [lost, other] });
    expect(stageOf(ended, "decode")!.nodeIds).toEqual([other]);
  });

  test("its runtime child is killed: it starts a new one and does the work again", async () => {
    const farm = await startFarm(1);
    const { jobId } = await farm.submit({});
    const job = farm.follow(jobId);
    await job.until(isMidDenoise);
    const agentPid = farm.agentPid("node-1");
    const childPid = farm.runtimePid("node-1");
    process.kill(childPid, "SIGKILL");

    const ended = await job.end();
    expect(hashesOf(ended)).toEqual(expected);
    expect(stageOf(ended, "denoise")).toMatchObject({ attempts: 2, nodeIds: ["node-1"] });
    expect(farm.agentPid("node-1")).toBe(agentPid);
    expect(farm.runtimePid("node-1")).not.toBe(childPid);
  });
});

test("a node is killed while it decodes a chunk: another decodes the chunk", async () => {
  const farm = await startFarm(2);
  const { jobId } = await farm.submit({ decodeChunkSize: 2 });
  const job = farm.follow(jobId);
  const decoding = await job.until((state) => stageOf(state, "decode")?.attempts === 2);
  const [lost, other] = stageOf(decoding, "decode")!.nodeIds;
  process.kill(farm.agentPid(lost!), "SIGKILL");

  const ended = await job.end();
  expect(hashesOf(ended)).toEqual(expected);
  expect(stageOf(ended, "decode")!.attempts).toBe(3);
  expect(stageOf(ended, "mux")!.nodeIds).toEqual([other]);
});

test("every node of `renderfarm run` is killed: it says so, exits with 1 and leaves nothing", async () => {
  const folder = mkdtempSync(join(tmpdir(), "farm-out-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "clips"));
  const out = join(folder, "clips/clip.gif");
  const size = ["--height", "16", "--width", "16", "--num-frames", "4"];
  const run = startCli([
    ...["run", PICTURE, "--checkpoint", CHECKPOINT, "--out", out, "--threads", "1"],
    ...[...size, "--num-inference-steps", "1000"],
  ]);
  await run.said("stderr", /step \d+\/1000/);
  const agents = run.pidsOf("gpu-node/main.js");
  expect(agents).toHaveLength(2);
  for (const pid of agents) process.kill(pid, "SIGKILL");

  const { exitCode, stdout, stderr } = await run.ended;
  expect(exitCode).toBe(1);
  expect(stdout).toBe("");
  expect(stderr).toContain("error (runtime-failed): every node has ended, the last by SIGKILL");
  expect(existsSync(out)).toBe(false);
  expect(readdirSync(join(folder, "clips"))).toEqual([]);
  await run.leftNothing();
});
