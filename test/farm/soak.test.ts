/**
 * @file Faults of every kind, one after the other, under a load that never ends: every clip has its
 * bytes, nothing hangs, nothing is held for ever, and no memory goes that does not come back.
 *
 * A few faults in `npm test`; `npm run soak -- --minutes 60` for as long as you like.
 */
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { isTerminal } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, undisturbed } from "./farm-harness.js";
import { FaultFarm } from "./fault-farm.js";
import { insist } from "./insist.js";
import { drawn, SOAK_MINUTES } from "./selection.js";

const NODES = 3;
const LOAD = 3;
/** Between two faults. */
const PAUSE_MS = SOAK_MINUTES > 0 ? 20_000 : 1_500;
const FAULTS = SOAK_MINUTES > 0 ? Math.ceil((SOAK_MINUTES * 60_000) / PAUSE_MS) : 4;
/** A job that no event came of for this long hangs. */
const SILENCE_MS_MAX = 60_000;
/** Far more than all faults together. */
const TEST_MS_MAX = SOAK_MINUTES * 60_000 * 2 + 300_000;

/** To remove the files of every clip takes its time after an hour of them. */
const STOP_MS_MAX = 60_000 + SOAK_MINUTES * 10_000;

const KINDS: readonly JobParameters[] = [
  { ...CLIP, numInferenceSteps: 20, pair: "auto" },
  { ...CLIP, numInferenceSteps: 30, pair: "never", formats: ["gif"] },
  { ...CLIP, numInferenceSteps: 20, pair: "always", numFrames: 6, decodeChunkSize: 1 },
];

let farm: FaultFarm;
let expected: FileHashes[];
beforeAll(async () => {
  farm = await FaultFarm.start(NODES);
  expected = [];
  for (const parameters of KINDS) expected.push((await undisturbed(parameters))[0]!);
}, 120_000);
beforeEach(() => farm.explainFailure());
afterAll(() => farm.stop(), STOP_MS_MAX);

const nodeId = (n: number) => `node-${1 + (n % NODES)}`;

/** Each returns when the fault is over. */
const faults: readonly [name: string, hit: (n: number) => Promise<void>][] = [
  ["kill -9 of an agent", (n) => killAgent(n)],
  ["kill -9 of a runtime child", async (n) => signalRuntime(n, "SIGKILL")],
  ["a runtime child crashes", async (n) => signalRuntime(n, "SIGSEGV")],
  ["an agent is frozen for less than its lease", (n) => freeze(n, 2_000)],
  ["an agent is frozen past its lease", (n) => freeze(n, 7_000)],
  ["kill -9 of the coordinator", () => killCoordinator()],
  ["the coordinator is frozen", () => freezeCoordinator()],
  ["a node is stopped in order", (n) => stopNode(n)],
  ["the link of a node is reset", async (n) => resetLink(n)],
  ["the link of a node is a black hole", (n) => blackHole(n)],
  ["the buses are reset", async () => resetBuses()],
  ["a bit flips between nodes", (n) => flipOnBus(n)],
  ["everything is slow", () => slowLinks()],
];

async function killAgent(n: number): Promise<void> {
  farm.node(nodeId(n)).process.kill();
  await farm.node(nodeId(n)).process.ended;
  await farm.startNode(nodeId(n));
}

function signalRuntime(n: number, signal: NodeJS.Signals): void {
  for (const pid of farm.runtimePids(nodeId(n))) process.kill(pid, signal);
}

async function freeze(n: number, ms: number): Promise<void> {
  const pid = farm.node(nodeId(n)).process.pid!;
  process.kill(pid, "SIGSTOP");
  await sleep(ms); // the fault itself
  process.kill(pid, "SIGCONT");
}

async function killCoordinator(): Promise<void> {
  await farm.killCoordinator();
  await farm.startCoordinator();
}

async function freezeCoordinator(): Promise<void> {
  const pid = farm.coordinator!.pid!;
  process.kill(pid, "SIGSTOP");
  await sleep(3_000); // the fault itself
  process.kill(pid, "SIGCONT");
}

async function stopNode(n: number): Promise<void> {
  const { process: agent } = farm.node(nodeId(n));
  process.kill(agent.pid!, "SIGTERM");
  await agent.ended;
  await farm.startNode(nodeId(n));
}

function resetLink(n: number): void {
  const { link } = farm.node(nodeId(n));
  link.set("up", { kind: "reset_peer" });
  link.heal();
}

async function blackHole(n: number): Promise<void> {
  const { link } = farm.node(nodeId(n));
  link.setBoth({ kind: "timeout" });
  await sleep(7_000); // the fault itself
  link.heal();
}

function resetBuses(): void {
  for (const { bus } of farm.nodes.values()) {
    bus.setBoth({ kind: "reset_peer" });
    bus.heal();
  }
}

async function flipOnBus(n: number): Promise<void> {
  const { bus } = farm.node(nodeId(n));
  bus.set("down", { kind: "flip_bit", atByte: 3_000 });
  await sleep(3_000); // for a pair to come by; where none does, nothing is hit
  bus.heal();
}

async function slowLinks(): Promise<void> {
  for (const { link, bus } of farm.nodes.values()) {
    link.setBoth({ kind: "latency", ms: 300 });
    bus.setBoth({ kind: "latency", ms: 50 });
  }
  await sleep(3_000); // the fault itself
  for (const { link, bus } of farm.nodes.values()) for (const p of [link, bus]) p.heal();
}

/** Sends one job after the other until it is told to stop; returns how many ended well. */
async function load(worker: number, isOver: () => boolean): Promise<number> {
  let done = 0;
  for (let i = 0; !isOver(); i++) {
    const kind = (worker + i) % KINDS.length;
    const requestId = `soak-${worker}-${i}`;
    const jobId = await insist(async () => (await farm.submit(KINDS[kind], { requestId })).jobId);
    const ended = await endOf(jobId);
    expect(await farm.published(ended), `job ${jobId}`).toEqual(expected[kind]);
    expect((await insist(() => farm.client.getJob(jobId))).state).toBe("succeeded");
    done += 1;
  }
  return done;
}

/** As `Following.end`, with a bound on silence and none on the whole. */
async function endOf(jobId: string) {
  let silence = setTimeout(() => {}, 0);
  const stop = new AbortController();
  try {
    for await (const state of farm.client.watchJob(jobId, stop.signal)) {
      clearTimeout(silence);
      silence = setTimeout(() => stop.abort(), SILENCE_MS_MAX);
      if (isTerminal(state.state)) return state;
    }
    throw new Error(`job ${jobId}: the watch ended before the job`);
  } finally {
    clearTimeout(silence);
  }
}

/** Megabytes of the coordinator, by the seconds since the start. */
type Sample = readonly [seconds: number, megabytes: number];

function residentMb(pid: number): number {
  const kilobytes = execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" });
  return Number(kilobytes) / 1024;
}

/** Of the straight line through the samples, a minute. */
function slope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [x, y] = [mean((s) => s[0]), mean((s) => s[1])];
  const spread = mean((s) => (s[0] - x) ** 2);
  return spread === 0 ? 0 : (60 * mean((s) => (s[0] - x) * (s[1] - y))) / spread;
}

test(
  "one fault after the other: all that was accepted is done, with its bytes",
  async () => {
    let over = false;
    const loads = Promise.all(Array.from({ length: LOAD }, (_, i) => load(i, () => over)));
    const broken = loads.then(
      () => null,
      (error: unknown) => error,
    );
    const samples = new Map<string, Sample[]>();
    const startMs = performance.now();
    const counts = new Map<string, number>();
    for (let n = 0; n < FAULTS && (await settledOr(broken, PAUSE_MS)) === "pending"; n++) {
      const [name, hit] = faults[drawn(2 * n) % faults.length]!;
      await hit(drawn(2 * n + 1));
      counts.set(name, (counts.get(name) ?? 0) + 1);
      for (const { nodeId: name, process: each } of [...farm.nodes.values(), coordinatorOf()]) {
        const key = `${name} ${each.pid}`;
        const sample = [(performance.now() - startMs) / 1_000, residentMb(each.pid!)] as const;
        samples.set(key, [...(samples.get(key) ?? []), sample]);
      }
    }
    over = true;
    const done = await loads;
    await farm.mended();
    const { nodes } = await farm.client.getFarm();
    expect(nodes.map(({ taskCount }) => taskCount)).toEqual(nodes.map(() => 0));
    const { jobs } = await farm.client.listJobs({ size: 500 });
    await killCoordinator();
    expect((await farm.client.listJobs({ size: 500 })).jobs).toEqual(jobs);
    console.log(report(counts, done, samples));
  },
  TEST_MS_MAX,
);

function coordinatorOf() {
  return { nodeId: "coordinator", process: farm.coordinator! };
}

/** Waits, but not for longer than it takes the load to break. */
function settledOr(broken: Promise<unknown>, ms: number): Promise<"pending" | "settled"> {
  const pause = sleep(ms, "pending" as const);
  return Promise.race([pause, broken.then(() => "settled" as const)]);
}

function report(
  counts: ReadonlyMap<string, number>,
  done: readonly number[],
  samples: ReadonlyMap<string, readonly Sample[]>,
): string {
  const faultLines = [...counts].map(([name, count]) => `${count} x ${name}`);
  const memory = [...samples]
    .filter(([, each]) => each.length > 2)
    .map(([name, each]) => {
      const last = each.at(-1)![1];
      return `${name}: ${last.toFixed(0)} MB, ${slope(each).toFixed(2)} MB a minute over ${each.length} samples`;
    });
  const jobs = done.reduce((sum, count) => sum + count, 0);
  return [`${jobs} clips`, ...faultLines, ...memory].join("\n");
}
