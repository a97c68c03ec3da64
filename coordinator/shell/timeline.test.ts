/** Who worked on what and when: as it happens in a farm, without the journal. */
import { expect, test } from "vitest";
import type { DenoiseTime } from "../../shared/farm/work.js";
import { NODE, startGateway } from "../../test/http/gateway.js";

interface Told {
  readonly intervals: readonly Record<string, unknown>[];
}

test("the work of a node begins with its grant and ends with its report", async () => {
  const gateway = await startGateway();
  const { loop, clock } = gateway;
  const intervals = async () => (await gateway.json<Told>("/v1/timeline")).json.intervals;
  expect(await intervals()).toEqual([]);
  const jobId = await gateway.createJob();
  const taskId = `${jobId}-0-condition`;
  expect(await intervals()).toMatchObject([
    { nodeId: "node-a", taskId, jobId, stage: "condition", half: null, endTime: null, end: null },
  ]);

  clock.advance(2_000);
  const blob = { key: "v1/x/conditioning", sha256: "0".repeat(64), size: 3 };
  const result = { blob, outputs: [], seconds: 1, secondsPerStep: 0 };
  await loop.dispatch({ kind: "task-finished", taskId, nodeId: "node-a", epoch: 1, result });
  expect(await intervals()).toMatchObject([
    { taskId, startTime: "1970-01-01T00:00:01.000Z", endTime: "1970-01-01T00:00:03.000Z" },
    { taskId: `${jobId}-0-denoise`, endTime: null },
  ]);
});

test("how it ended is told: done, failed, cancelled, handed on, or the node was lost", async () => {
  const gateway = await startGateway();
  const { loop } = gateway;
  const ends = async () => {
    const { json } = await gateway.json<Told>("/v1/timeline");
    return json.intervals.map(({ end }) => end);
  };
  const first = await gateway.createJob();
  await gateway.post(`/v1/jobs/${first}:cancel`);
  expect(await ends()).toEqual(["cancelled"]);

  const second = await gateway.createJob();
  const taskId = `${second}-0-condition`;
  const failure = { code: "runtime-failed", detail: "odd" } as const;
  await loop.dispatch({ kind: "task-failed", taskId, nodeId: "node-a", epoch: 1, failure });
  expect(await ends()).toEqual(["cancelled", "handed on", null]);

  const { nodeId, bootId } = NODE;
  await loop.dispatch({ kind: "node-left", nodeId, bootId, stopped: false });
  expect(await ends()).toEqual(["cancelled", "handed on", "node lost"]);
});

test("what a node's time went into is told while it works, and by a pair's slower member after", async () => {
  const gateway = await startGateway();
  const { loop } = gateway;
  const { nodeId } = NODE;
  const jobId = await gateway.createJob();
  const told = async () => {
    const { json } = await gateway.json<Told>("/v1/timeline");
    return json.intervals.map(({ stage, spent }) => [stage, spent]);
  };
  const finish = (stage: string) => {
    const blob = { key: `v1/x/${stage}`, sha256: "0".repeat(64), size: 3 };
    const result = { blob, outputs: [], seconds: 1, secondsPerStep: 0 };
    const taskId = `${jobId}-0-${stage}`;
    return loop.dispatch({ kind: "task-finished", taskId, nodeId, epoch: 1, result });
  };
  await finish("condition");
  expect(await told()).toEqual([
    ["condition", null],
    ["denoise", null],
  ]);

  const taskId = `${jobId}-0-denoise`;
  const first = spentOn(1);
  loop.reportTime({ nodeId, taskId, epoch: 1, spent: first });
  loop.reportTime({ nodeId: "node-b", taskId, epoch: 1, spent: spentOn(7) });
  expect((await told())[1]).toEqual(["denoise", first]);

  await finish("denoise");
  const last = spentOn(2);
  loop.reportTime({ nodeId, taskId, epoch: 2, spent: spentOn(9) });
  expect((await told())[1], "of another grant").toEqual(["denoise", first]);
  loop.reportTime({ nodeId, taskId, epoch: 1, spent: last });
  expect((await told())[1]).toEqual(["denoise", last]);
});

function spentOn(steps: number): DenoiseTime {
  const seconds = { computeSeconds: 2 * steps, exchangeSeconds: steps, combineSeconds: 0.5 };
  return { steps, ...seconds, saveSeconds: 0.25 };
}

test("the oldest are forgotten", async () => {
  const gateway = await startGateway();
  const jobId = await gateway.createJob();
  for (let i = 0; i < 2_050; i++) {
    await gateway.loop.dispatch({ kind: "job-cancelled", jobId });
    await gateway.loop.dispatch({ kind: "job-retried", jobId, what: { kind: "job" } });
  }
  const { json } = await gateway.json<Told>("/v1/timeline");
  expect(json.intervals).toHaveLength(2_001);
});
