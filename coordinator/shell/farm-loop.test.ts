import { describe, expect, test } from "vitest";
import { JournalMemory, MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import { FarmError } from "../../shared/core/errors.js";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { NodeInfo } from "../plan/node.js";
import { decodeEvent, encodeEvent } from "./event-codec.js";
import type { OutsideEffect } from "./farm-loop.js";
import { FarmLoop, POLICY_DEFAULT } from "./farm-loop.js";

/** A journal in memory whose appends resolve only when the test says so. */
class HeldJournal extends MemoryJournal {
  #release: (() => void)[] = [];
  held = false;
  /** What the next append fails with. */
  failure: Error | null = null;

  get records(): readonly string[] {
    return this.memory.records;
  }
  override async append(records: readonly string[]): Promise<void> {
    if (this.failure) throw this.failure;
    if (this.held) await new Promise<void>((resolve) => this.#release.push(resolve));
    await super.append(records);
  }
  release(): void {
    for (const go of this.#release.splice(0)) go();
  }
}

const node: NodeInfo = {
  nodeId: "a",
  bootId: "boot",
  model: {
    digest: "d",
    name: "demo",
    numFrames: 14,
    sampleSize: 16,
    vaeScaleFactor: 4,
    latentChannels: 4,
    numTrainTimesteps: 1000,
    stepRule: "as-asked",
  },
  provider: "cpu",
  planHash: "p",
  busAddress: "a:1",
  busToken: "t",
  hasFfmpeg: true,
  memoryBytes: 16 * 2 ** 30,
  prefers: "any",
};
const parameters: JobParameters = {
  height: 64,
  width: 64,
  numFrames: 2,
  numInferenceSteps: 4,
  sigmas: null,
  minGuidanceScale: 1,
  maxGuidanceScale: 3,
  guidance: { kind: "linear" },
  fit: "stretch",
  fps: 7,
  motionBucketId: 127,
  noiseAugStrength: 0.02,
  decodeChunkSize: 2,
  cacheInterval: 1,
  numVideosPerPrompt: 1,
  seeds: [2n ** 64n - 1n],
  latents: null,
  formats: ["gif"],
  pair: "auto",
  clips: [],
};
const jobCreated = {
  kind: "job-created",
  job: {
    jobId: "j",
    parameters,
    images: [{ key: "v1/inputs/x", sha256: "0", size: 1 }],
    modelDigest: "d",
    modelName: "demo",
    requestId: "once",
    requestDigest: "",
    stepsTotal: 4,
    branchLatents: null,
    traceparent: null,
    ...JOB_OPTIONS_DEFAULT,
  },
} as const;

async function startedLoop(memory = new JournalMemory(), snapshotEvents = 10_000) {
  memory.isOpen = false;
  const journal = new HeldJournal(memory);
  const effects: OutsideEffect[] = [];
  const notices: string[] = [];
  const broken: unknown[] = [];
  const note = (text: string) => void notices.push(text);
  const loop = new FarmLoop(journal, () => 7, POLICY_DEFAULT, {
    log: { info: note, warn: note },
    onBroken: (error) => broken.push(error),
    snapshotEvents,
  });
  await loop.start((effect) => effects.push(effect));
  return { loop, journal, effects, notices, broken };
}

test("nothing leaves before the journal has the events, grants included", async () => {
  const { loop, journal, effects } = await startedLoop();
  await loop.dispatch({ kind: "node-joined", node });
  journal.held = true;
  const accepted = loop.dispatch(jobCreated);
  await Promise.resolve();
  expect(effects).toEqual([]);
  journal.release();
  await accepted;
  expect(effects.map((e) => e.kind)).toEqual(["assign"]);
  expect(journal.records.map((r) => decodeEvent(r).kind).slice(-2)).toEqual([
    "job-created",
    "task-granted",
  ]);
});

test("a restart is a replay: the same farm, and what ran is ready again", async () => {
  const first = await startedLoop();
  await first.loop.dispatch({ kind: "node-joined", node });
  await first.loop.dispatch(jobCreated);
  const again = await startedLoop(first.journal.memory);
  expect(again.loop.farm.jobs).toEqual(first.loop.farm.jobs);
  expect(again.loop.farm.tasks.get("j-0-condition")).toMatchObject({
    state: { kind: "ready" },
    epoch: 1,
  });
  expect(again.effects).toEqual([]);
  await again.loop.dispatch({ kind: "node-joined", node: { ...node, bootId: "next" } });
  expect(again.effects).toMatchObject([{ kind: "assign", assignment: { epoch: 2 } }]);
});

test("a request id names one job, however often it is sent", async () => {
  const { loop } = await startedLoop();
  await loop.dispatch(jobCreated);
  await loop.dispatch({ ...jobCreated, job: { ...jobCreated.job, jobId: "other" } });
  expect([...loop.farm.jobs.keys()]).toEqual(["j"]);
});

test("watchers see changes and progress, and progress of an older epoch is nothing", async () => {
  const { loop } = await startedLoop();
  await loop.dispatch({ kind: "node-joined", node });
  await loop.dispatch(jobCreated);
  const seen: JobView[] = [];
  const unwatch = loop.watch("j", (job) => seen.push(job));
  const result = {
    blob: { key: "k", sha256: "0", size: 1 },
    outputs: [],
    seconds: 1,
    secondsPerStep: 0,
  };
  await loop.dispatch({
    kind: "task-finished",
    taskId: "j-0-condition",
    nodeId: "a",
    epoch: 1,
    result,
  });
  loop.reportProgress("j-0-denoise", { epoch: 1, stepsDone: 3, secondsPerStep: 0.5 });
  loop.reportProgress("j-0-denoise", { epoch: 0, stepsDone: 9, secondsPerStep: 0.5 });
  await loop.settled();
  expect(seen.map((job) => job.clips[0]?.stepsDone)).toEqual([0, 0, 3]);
  unwatch();
  loop.reportProgress("j-0-denoise", { epoch: 1, stepsDone: 4, secondsPerStep: 0.5 });
  await loop.settled();
  expect(seen).toHaveLength(3);
});

test("watchers hear of a state when the journal has it, and of all of them in order", async () => {
  const { loop, journal } = await startedLoop();
  await loop.dispatch(jobCreated);
  const seen: string[] = [];
  journal.held = true;
  const paused = loop.dispatch({ kind: "job-paused", jobId: "j" });
  loop.watch("j", (job) => seen.push(job.state));
  const resumed = loop.dispatch({ kind: "job-resumed", jobId: "j" });
  const cancelled = loop.dispatch({ kind: "job-cancelled", jobId: "j" });
  await Promise.resolve();
  expect(seen).toEqual([]);
  expect(loop.view("j")?.state).toBe("cancelled");
  journal.release();
  await Promise.all([paused, resumed, cancelled]);
  await loop.settled();
  expect(seen[0]).toBe("paused");
  expect(seen.at(-1)).toBe("cancelled");
});

describe("a journal that cannot be written", () => {
  test("answers nothing, takes nothing more in, and says so once", async () => {
    const { loop, journal, effects, broken } = await startedLoop();
    await loop.dispatch({ kind: "node-joined", node });
    journal.failure = new FarmError("unreachable", "cannot append to the journal (ENOSPC)");
    await expect(loop.dispatch(jobCreated)).rejects.toThrow("ENOSPC");
    journal.failure = null;
    await expect(loop.dispatch({ kind: "node-drained", nodeId: "a" })).rejects.toThrow("ENOSPC");
    await expect(loop.settled()).rejects.toThrow("ENOSPC");
    expect(effects).toEqual([]);
    expect(broken).toEqual([new FarmError("unreachable", "cannot append to the journal (ENOSPC)")]);
    expect(journal.records.map((record) => decodeEvent(record).kind)).toEqual([
      "farm-started",
      "node-joined",
    ]);
  });

  test("a bug in the core breaks the loop too: memory is not what a restart finds", async () => {
    const { loop, broken } = await startedLoop();
    const grant = { kind: "task-granted", taskId: "nothing", members: [] } as const;
    await expect(loop.dispatch(grant)).rejects.toThrow(/bug: expected task nothing/);
    await expect(loop.dispatch(jobCreated)).rejects.toThrow(/bug: expected task nothing/);
    expect(broken).toHaveLength(1);
  });
});

describe("snapshots", () => {
  const jobNumber = (i: number) => ({
    ...jobCreated,
    job: { ...jobCreated.job, jobId: `j${i}`, requestId: "" },
  });
  /** A journal with the jobs j0 .. j9, a start apart from each, and snapshots on the way. */
  async function withSnapshots(snapshotEvents: number) {
    const first = await startedLoop(new JournalMemory(), snapshotEvents);
    for (let i = 0; i < 10; i++) {
      await first.loop.dispatch(jobNumber(i));
      // The snapshot in memory takes a few turns.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return first;
  }

  test("are kept after so many events, and a restart goes on from the newest", async () => {
    const { loop, journal } = await withSnapshots(4);
    expect(journal.memory.snapshots.map(({ head }) => head.number)).toEqual([8, 4]);
    const again = await startedLoop(journal.memory);
    expect(again.notices).toEqual([
      "the farm is back: from the snapshot of record 8, and 3 records after it",
    ]);
    expect(again.loop.farm).toEqual(loop.farm);
  });

  test("count what a start replayed", async () => {
    const { journal } = await withSnapshots(100);
    expect(journal.memory.snapshots).toEqual([]);
    await startedLoop(journal.memory, 12);
    await new Promise((resolve) => setImmediate(resolve));
    expect(journal.memory.snapshots.map(({ head }) => head.number)).toEqual([12]);
  });

  const newer = (lines: readonly string[]) => [
    lines[0]!.replace(/"version":\d+/, '"version":99'),
    ...lines.slice(1),
  ];

  test("of another format are passed over for an older one, or for the events", async () => {
    const { loop, journal } = await withSnapshots(4);
    const { memory } = journal;
    const [newest, older] = memory.snapshots;
    memory.snapshots = [{ ...newest!, lines: newer(newest!.lines) }, older!];
    const fromOlder = await startedLoop(memory);
    expect(fromOlder.notices).toEqual([
      expect.stringMatching(/cannot be used: that of record 8: the snapshot is of format 99/),
      "the farm is back: from the snapshot of record 4, and 7 records after it",
    ]);
    memory.snapshots = memory.snapshots.map(({ head, lines }) => ({ head, lines: newer(lines) }));
    const fromFirst = await startedLoop(memory);
    expect(fromFirst.notices.at(-1)).toMatch(/from the first record, and 12 records after it/);
    expect(fromFirst.loop.farm).toEqual(loop.farm);
  });

  test("that cannot be used stop the start when the events are gone", async () => {
    const { journal } = await withSnapshots(4);
    const memory = new JournalMemory();
    memory.snapshots = journal.memory.snapshots.map((s) => ({ ...s, lines: newer(s.lines) }));
    memory.records.push(...journal.records);
    memory.firstKept = 5;
    await expect(startedLoop(memory)).rejects.toThrow(
      /replaced the first records; snapshots that cannot be used: that of record 8: .*format 99.*4: /,
    );
  });

  test("that fail are logged, and the loop goes on", async () => {
    const { loop, journal, notices } = await startedLoop(new JournalMemory(), 2);
    journal.snapshot = () => Promise.reject(new FarmError("unreachable", "the disk is full"));
    for (let i = 0; i < 3; i++) await loop.dispatch(jobNumber(i));
    await new Promise((resolve) => setImmediate(resolve));
    expect(notices).toContain("kept no snapshot: the disk is full");
    await loop.dispatch(jobNumber(9));
  });
});

test("a record that cannot be replayed stops the start, naming it", async () => {
  const memory = new JournalMemory();
  const { loop } = await startedLoop(memory);
  await loop.dispatch({ kind: "node-joined", node });
  memory.records.push('{"kind":"task-granted","taskId":"nothing","members":[],"atMs":7}');
  await expect(startedLoop(memory)).rejects.toThrow(
    "[wrong-state] record 3 of the journal cannot be replayed: bug: expected task nothing",
  );
});

test("an event of a newer program stops the start, naming it", async () => {
  const memory = new JournalMemory();
  memory.records.push('{"kind":"job-teleported","atMs":7}');
  await expect(startedLoop(memory)).rejects.toThrow(
    /record 1 .* cannot be replayed: this program knows no event 'job-teleported'/,
  );
});

test("64-bit seeds survive the journal", () => {
  const event = { ...jobCreated, atMs: 1 };
  expect(decodeEvent(encodeEvent(event))).toEqual(event);
});
