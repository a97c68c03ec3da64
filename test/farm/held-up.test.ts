/**
 * @file Processes that stand still for seconds: their metric shows it, they say that they are not
 * ready, and nobody is given up before its lease is over.
 */
import { credentials, makeClientConstructor, type ServiceError } from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, isMidDenoise, stageOf, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { useGood, withFaulty } from "./faulty-farm.js";
import { TRIES_ALL } from "./selection.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 10, pair: "never" };
/** Against a lease of 4.5 s, with heartbeats of 1 s. */
const SHORTER_MS = 2_500;
const LONGER_MS = 6_000;
const BEHIND = /^the event loop stood still for \d+\.\d s\n$/;

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

/** Asks until a process says so; whoever asks while it stands still is answered right after. */
async function untilReadiness(name: string, status: number, text: RegExp | string): Promise<void> {
  const options = { timeout: 30_000, interval: 10 };
  await vi.waitFor(async () => {
    const answer = await farm.probe(name, "/readyz");
    expect(answer).toEqual({ status, text: expect.stringMatching(text) as string });
  }, options);
}

/** The worst lag since somebody last asked, in seconds. */
async function worstLag(name: string): Promise<number> {
  const { text } = await farm.probe(name, "/metrics");
  return Number(/^renderfarm_event_loop_lag_seconds\{part="max"\} (\S+)$/m.exec(text)?.[1]);
}

test("an agent that is held up for less than its lease says so and is waited for", async () => {
  await withFaulty(farm, "held-up", `block:${SHORTER_MS}`, async () => {
    await worstLag("held-up");
    const { jobId } = await farm.submit(PARAMETERS);
    await farm.follow(jobId).until((job) => stageOf(job, "denoise") !== undefined);
    await useGood(farm);
    await untilReadiness("held-up", 503, BEHIND);
    await untilReadiness("held-up", 200, "ready\n");
    expect(await worstLag("held-up")).toBeGreaterThan(SHORTER_MS / 1_000 - 0.1);
    const job = await farm.follow(jobId).end();
    expect(stageOf(job, "denoise")).toMatchObject({ attempts: 1, nodeIds: ["held-up"] });
    expect(await farm.published(job)).toEqual(expected);
  });
});

const longer = "one that is held up for longer is given up, fences itself, and another one goes on";
test.runIf(TRIES_ALL)(longer, async () => {
  await withFaulty(farm, "given-up", `block:${LONGER_MS}`, async () => {
    const { jobId } = await farm.submit(PARAMETERS);
    await farm.follow(jobId).until((job) => stageOf(job, "denoise") !== undefined);
    await useGood(farm);
    const job = await farm.follow(jobId).end();
    const { nodeIds } = stageOf(job, "denoise")!;
    expect(nodeIds).toHaveLength(2);
    expect(nodeIds[0]).toBe("given-up");
    expect(await farm.published(job)).toEqual(expected);
    await farm.nodesJoined(farm.nodes.size); // it is back
    const said = farm.logOf("given-up").map((entry) => entry["msg"]);
    expect(said).toContain("cut off from the coordinator: all work is stopped");
    const ends = farm.logOf("given-up").filter((entry) => entry["msg"] === "task finished");
    expect(ends.map((entry) => entry["task_id"])).not.toContain(`${jobId}/0/denoise`);
  });
});

test("a coordinator that stands still says so, over HTTP and gRPC, and gives up no node", async () => {
  const health = watchHealth(farm.front.address);
  expect(await health.next()).toBe("SERVING");
  await worstLag("coordinator");
  const { jobId } = await farm.submit({ ...PARAMETERS, numInferenceSteps: 40 });
  await farm.follow(jobId).until((job) => isMidDenoise(job));
  const pid = farm.coordinator!.pid!;
  process.kill(pid, "SIGSTOP");
  setTimeout(() => process.kill(pid, "SIGCONT"), SHORTER_MS); // the fault itself
  await untilReadiness("coordinator", 503, BEHIND);
  expect(await health.next()).toBe("NOT_SERVING");
  expect(await health.next()).toBe("SERVING");
  await untilReadiness("coordinator", 200, "ready\n");
  expect(await worstLag("coordinator")).toBeGreaterThan(SHORTER_MS / 1_000 - 0.1);
  const job = await farm.follow(jobId).end();
  expect(stageOf(job, "denoise")).toMatchObject({ attempts: 1 });
});

/** What grpc.health.v1 says of the whole, one change after the other. */
function watchHealth(address: string): { next(): Promise<unknown> } {
  const Health = makeClientConstructor(service as never, "Health");
  const client = new Health(address, credentials.createInsecure());
  const watch = client["Watch"] as (request: object) => AsyncIterable<{ status: unknown }> & {
    cancel(): void;
    on(name: "error", listener: (error: ServiceError) => void): void;
  };
  const stream = watch.call(client, { service: "" });
  stream.on("error", () => {}); // that it was cancelled
  onTestFinished(() => {
    stream.cancel();
    client.close();
  });
  const states = stream[Symbol.asyncIterator]();
  return { next: async () => ((await states.next()).value as { status: unknown }).status };
}
