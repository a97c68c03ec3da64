/** Jobs with a deadline, on real nodes: they end at it, and leave nothing behind but the word. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JobOptions } from "../../shared/farm/job.js";
import { goldenPath } from "../golden/read-golden.js";
import { runCli } from "./cli-process.js";
import { hashesOf, stageOf, TestFarm } from "./farm-harness.js";

/** Far more steps than are ever made. */
const ENDLESS = { numInferenceSteps: 1000, pair: "always" } as const;
const SHORT = { numInferenceSteps: 2 };
const PICTURE = goldenPath("svd-shaped-fp16/runs/plain/input0.png");

let farm: TestFarm;
beforeAll(async () => {
  farm = await TestFarm.start(2);
});
afterAll(() => farm.stop());

const submit = (options: Partial<JobOptions>) => farm.submit(ENDLESS, randomUUID(), options);
const inMs = (ms: number) => Date.now() + ms;

test("the deadline passes while both nodes denoise: it expires, and the next job has both", async () => {
  const deadlineMs = inMs(2_500);
  const { jobId } = await submit({ deadlineMs });
  const waiting = await submit({ dependsOn: [jobId] });
  const ended = await farm.follow(jobId).end();
  expect(ended.state).toBe("expired");
  expect(ended.endedAtMs).toBeGreaterThanOrEqual(deadlineMs);
  expect(ended.clips[0]).toMatchObject({ state: "expired", outputs: [] });
  expect(ended.clips[0]!.error?.detail).toContain(new Date(deadlineMs).toISOString());

  expect((await farm.follow(waiting.jobId).end()).clips[0]!.error).toMatchObject({
    code: "dependency-failed",
  });
  const next = await farm.render({ ...SHORT, pair: "always" });
  hashesOf(next);
  expect(next.clips[0]!.plan).toBe("pair");
  expect(await farm.client.getJob(jobId)).toEqual(ended);
});

test("it passes before a node was free: it expires all the same; retry takes it away", async () => {
  const running = await farm.submit(ENDLESS);
  // Not before both nodes have it: while one reads the picture, the other one is free.
  await farm.follow(running.jobId).until((job) => stageOf(job, "denoise")?.nodeIds.length === 2);
  const { jobId } = await submit({ deadlineMs: inMs(1_000) });
  const ended = await farm.follow(jobId).end();
  expect(ended).toMatchObject({ state: "expired", startedAtMs: null });

  const again = await farm.client.retryJob(jobId);
  expect(again).toMatchObject({ state: "running", run: 2, options: { deadlineMs: null } });
  expect(again.whyNotNow).toEqual(["every node that could work on it is busy"]);
  await farm.client.cancelJob(jobId);
  await farm.client.cancelJob(running.jobId);
});

test("one that has passed already is refused, with the way out", async () => {
  await expect(submit({ deadlineMs: 1_000 })).rejects.toMatchObject({
    violations: [
      {
        field: "options.deadline_time",
        description: "1970-01-01T00:00:01.000Z has passed; leave it out, or name a later one",
      },
    ],
  });
});

test("submit --deadline says what became of the job, and exits as for one that failed", async () => {
  const address = farm.client.address;
  const { exitCode, stderr } = await runCli([
    ...["submit", PICTURE, "--address", address, "--num-inference-steps", "1000"],
    ...["--deadline", "+2s", "--out", "never.gif"],
  ]);
  expect(stderr).toMatch(
    /error \(deadline\): job \w+ expired; clip 1: the job's deadline, .* passed/,
  );
  expect(exitCode).toBe(1);
});
