/** @file The coordinator is killed and started again on its data: the farm goes on where it was. */
import { expect, test } from "vitest";
import { hashesOf, isMidDenoise, stageOf, startFarm } from "./farm-harness.js";

test("in mid-denoise: the nodes dial again, and the watched job ends with the same bytes", async () => {
  const farm = await startFarm(2);
  const { jobId } = await farm.submit({}, "one-and-only");
  const job = farm.follow(jobId);
  const before = await job.until(isMidDenoise);
  const pids = ["node-1", "node-2"].map((node) => farm.agentPid(node));
  process.kill(farm.coordinatorPid(), "SIGKILL");
  await farm.restartCoordinator();

  // No node has to be there for the answer: the journal knows the job.
  const again = await farm.submit({}, "one-and-only");
  expect(again.jobId).toBe(jobId);
  const ended = await job.end();
  expect(ended.jobId).toBe(jobId);
  expect(ended.createdAtMs).toBe(before.createdAtMs);
  expect(stageOf(ended, "condition")).toEqual(stageOf(before, "condition"));
  // Once more for the node that came back first, and again as a pair when the other one had.
  expect([2, 3]).toContain(stageOf(ended, "denoise")!.attempts);

  await farm.nodesJoined(2);
  expect(["node-1", "node-2"].map((node) => farm.agentPid(node))).toEqual(pids);
  expect((await farm.submit({}, "one-and-only")).jobId).toBe(jobId);
  const other = await farm.render({ pair: "always" });
  expect(other.jobId).not.toBe(jobId);
  expect(other.clips[0]!.plan).toBe("pair");
  expect(hashesOf(other)).toEqual(hashesOf(ended));
});

test("after the end: the job and its files are still there", async () => {
  const farm = await startFarm(1);
  const done = await farm.render({ numInferenceSteps: 2 });
  process.kill(farm.coordinatorPid(), "SIGKILL");
  await farm.restartCoordinator();

  expect(await farm.client.getJob(done.jobId)).toEqual(done);
  expect(await farm.follow(done.jobId).end()).toEqual(done);
  for (const output of done.clips[0]!.outputs) {
    // The client checks the sha256.
    const bytes = farm.client.download(done.jobId, 0, output, AbortSignal.timeout(10_000));
    let size = 0;
    for await (const piece of bytes) size += piece.length;
    expect(size).toBe(output.blob.size);
  }
});
