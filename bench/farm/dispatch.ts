/** @file How fast the coordinator hands out work: nodes that do nothing, over real gRPC. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pino from "pino";
import { FarmClient } from "../../client/farm-client.js";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.js";
import { POLICY_DEFAULT } from "../../coordinator/shell/farm-loop.js";
import { systemClock } from "../../shared/adapters/clock/system-clock.js";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import { FileJournal } from "../../shared/adapters/files/file-journal.js";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import type { Journal } from "../../shared/ports/journal.js";
import { median } from "../statistics.js";
import { atLeast, atMost, type Figure, noted } from "./figures.js";
import { IdleNode, submitJobs, TASKS_OF_JOB } from "./idle-node.js";
import { monotonicMs } from "./monotonic.js";

/** One node: what a hand-over takes where nothing else waits. */
const ONE_BY_ONE = { nodes: 1, jobs: 60 };
/** Several: how many hand-overs a second there can be. */
const CROWD = { nodes: 16, jobs: 120 };
const ROUNDS = 3;

const inMemory = async (): Promise<Journal> => new MemoryJournal();
const onDisk = (path: string): Promise<Journal> => FileJournal.open(path);

interface Load {
  readonly nodes: number;
  readonly jobs: number;
}

/** Of one load; milliseconds from a node's report to its next assignment. */
interface Dispatched {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly tasksPerS: number;
}

export async function measureDispatch(): Promise<Figure[]> {
  const one = await measureRounds(ONE_BY_ONE, inMemory);
  const crowd = await measureRounds(CROWD, inMemory);
  const oneOnDisk = await measureRounds(ONE_BY_ONE, onDisk);
  const crowdOnDisk = await measureRounds(CROWD, onDisk);
  return [
    atMost("dispatch: a node's report to its next task, p50", one.p50Ms, 1, "ms"),
    atMost("the same, p99", one.p99Ms, 5, "ms"),
    atLeast(`no-op tasks on ${CROWD.nodes} nodes`, crowd.tasksPerS, 2_000, "/s"),
    noted("dispatch with the journal on disk, p50", oneOnDisk.p50Ms, "ms"),
    noted("the same, p99", oneOnDisk.p99Ms, "ms"),
    noted("no-op tasks with the journal on disk", crowdOnDisk.tasksPerS, "/s"),
  ];
}

/** Medians of several rounds. */
async function measureRounds(
  load: Load,
  openJournal: (path: string) => Promise<Journal>,
): Promise<Dispatched> {
  const rounds: Dispatched[] = [];
  for (let i = 0; i < ROUNDS; i++) rounds.push(await measureLoad(load, openJournal));
  return {
    p50Ms: median(rounds.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(rounds.map(({ p99Ms }) => p99Ms)),
    tasksPerS: median(rounds.map(({ tasksPerS }) => tasksPerS)),
  };
}

async function measureLoad(
  load: Load,
  openJournal: (path: string) => Promise<Journal>,
): Promise<Dispatched> {
  const folder = await mkdtemp(join(tmpdir(), "renderfarm-bench-"));
  const coordinator = await startCoordinator({
    listen: "127.0.0.1:0",
    journal: await openJournal(join(folder, "journal")),
    blobs: await FileBlobStore.open(join(folder, "blobs")),
    clock: systemClock,
    wallMs: Date.now,
    policy: POLICY_DEFAULT,
    log: pino({ level: "silent" }),
    onBroken: (error) => {
      throw error;
    },
  });
  try {
    return await handOut(coordinator, load);
  } finally {
    await coordinator.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function handOut(coordinator: Coordinator, { nodes, jobs }: Load): Promise<Dispatched> {
  const { address, loop } = coordinator;
  const crowd = Array.from({ length: nodes }, (_, i) => new IdleNode(address, `node-${i + 1}`));
  const client = new FarmClient(address);
  try {
    await Promise.all(crowd.map((node) => node.welcomed));
    await submitJobs(client, jobs);
    const startMs = monotonicMs();
    for (const node of crowd) node.go();
    const done = () => crowd.reduce((sum, node) => sum + node.tasksDone, 0);
    while (done() < jobs * TASKS_OF_JOB) await sleep(1);
    const seconds = (monotonicMs() - startMs) / 1000;
    // The last clips are still being published.
    while (loop.farm.openJobCount > 0) await sleep(1);
    const waits = crowd.flatMap((node) => node.waitsMs).sort((a, b) => a - b);
    const quantile = (share: number) => waits[Math.floor(share * (waits.length - 1))]!;
    return {
      p50Ms: quantile(0.5),
      p99Ms: quantile(0.99),
      tasksPerS: (jobs * TASKS_OF_JOB) / seconds,
    };
  } finally {
    client.close();
    for (const node of crowd) node.close();
  }
}
