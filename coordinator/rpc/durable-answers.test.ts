/** What clients are told while the journal is slow: nothing that a crash could take back. */
import pino from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FarmClient } from "../../client/farm-client.js";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import type { JobView } from "../../shared/farm/job.js";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { jobParameters, node } from "../../test/plan/farm-world.js";
import { type Coordinator, startCoordinator } from "../coordinator.js";
import { POLICY_DEFAULT } from "../shell/farm-loop.js";

/** A journal whose appends are held back while the test says so. */
class HeldJournal extends MemoryJournal {
  #held: Promise<void> = Promise.resolve();
  #release = () => {};

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#release = resolve;
    });
  }
  release(): void {
    this.#release();
  }
  override async append(records: readonly string[]): Promise<void> {
    await this.#held;
    await super.append(records);
  }
}

const JOB = "0123456789abcdefghjkmnpqrs";
const image = { key: `v1/inputs/${JOB}`, sha256: "0".repeat(64), size: 1 };

let clock: ManualClock;
let journal: HeldJournal;
let coordinator: Coordinator;
let client: FarmClient;

beforeEach(async () => {
  clock = new ManualClock();
  journal = new HeldJournal();
  coordinator = await startCoordinator({
    ...{ listen: "127.0.0.1:0", journal, blobs: createMemoryBlobs(), clock, wallMs: () => 1_000 },
    ...{ policy: POLICY_DEFAULT, log: pino({ enabled: false }) },
    onBroken: (error) => {
      throw error;
    },
  });
  client = new FarmClient(coordinator.address);
  const { jobId, options } = { jobId: JOB, options: { owner: "local", priority: 50 } };
  await coordinator.loop.dispatch({
    kind: "job-created",
    job: {
      ...{ jobId, ...options, parameters: jobParameters, images: [image], requestId: "" },
      ...{
        stepsTotal: 4,
        branchLatents: null,
        traceparent: null,
        preview: false,
        labels: {},
        requestDigest: "",
        branch: null,
        startAfterMs: null,
        deadlineMs: null,
        dependsOn: [],
      },
      ...{ modelDigest: "d".repeat(64), modelName: "demo" },
    },
  });
});

afterEach(async () => {
  journal.release();
  client.close();
  const stopped = coordinator.stop();
  clock.advance(60_000);
  await stopped;
});

/** A call that the journal has no part in, behind the others: what they answer at once has come. */
async function roundTrip(): Promise<void> {
  await client.upload(new Uint8Array([1]));
}

const reads: [name: string, read: () => Promise<unknown>, told: unknown][] = [
  ["GetJob", async () => (await client.getJob(JOB)).state, "paused"],
  ["ListJobs", async () => (await client.listJobs()).jobs.map(({ state }) => state), ["paused"]],
  ["GetFarm", async () => (await client.getFarm()).nodes.map(({ nodeId }) => nodeId), ["a"]],
];
test.each(reads)("%s answers when the journal has what it says", async (_name, read, told) => {
  journal.hold();
  const paused = coordinator.loop.dispatch({ kind: "job-paused", jobId: JOB });
  const joined = coordinator.loop.dispatch({ kind: "node-joined", node: identity() });
  let answer: unknown;
  const asked = read().then((value) => {
    answer = value;
  });
  await roundTrip();
  expect(answer).toBeUndefined();
  journal.release();
  await Promise.all([paused, joined, asked]);
  expect(answer).toEqual(told);
});

test("a refusal waits, too: what it goes by may be taken back", async () => {
  journal.hold();
  const cancelled = coordinator.loop.dispatch({ kind: "job-cancelled", jobId: JOB });
  let refusal: unknown;
  const asked = client.pauseJob(JOB).catch((error: unknown) => {
    refusal = error;
  });
  await roundTrip();
  expect(refusal).toBeUndefined();
  journal.release();
  await Promise.all([cancelled, asked]);
  expect(refusal).toMatchObject({ code: "wrong-state" });
});

test("WatchJob tells of a state when the journal has it", async () => {
  journal.hold();
  const cancelled = coordinator.loop.dispatch({ kind: "job-cancelled", jobId: JOB });
  const seen: JobView[] = [];
  const watched = (async () => {
    for await (const job of client.watchJob(JOB, AbortSignal.timeout(60_000))) seen.push(job);
  })();
  await roundTrip();
  expect(seen).toEqual([]);
  journal.release();
  await Promise.all([cancelled, watched]);
  expect(seen.map(({ state }) => state)).toEqual(["cancelled"]);
});

function identity() {
  const info = node("a", { bootId: JOB, planHash: "e".repeat(64), busAddress: "127.0.0.1:9" });
  return { ...info, model: { ...info.model, digest: "d".repeat(64) } };
}
