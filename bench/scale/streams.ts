/**
 * @file What one coordinator process carries of real gRPC streams: heartbeats of nodes that wait, and
 * hand-overs to nodes whose work takes no time. Its journal is on disk.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FarmProcess } from "../../cli/farm-process.js";
import { FarmClient } from "../../client/farm-client.js";
import { type Figure, noted } from "../farm/figures.js";
import { IdleNode, submitJobs, TASKS_OF_JOB } from "../farm/idle-node.js";
import { monotonicMs } from "../farm/monotonic.js";

const STREAMS = [100, 500, 1_000] as const;
const JOBS = 60;
const WAITING_SECONDS = 10;
const READY_MS = 60_000;
/** Of /proc/PID/stat on every Linux. */
const TICKS_PER_SECOND = 100;

export async function measureStreams(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const streams of STREAMS) figures.push(...(await measure(streams)));
  return figures;
}

async function measure(streams: number): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), "renderfarm-bench-"));
  const coordinator = new FarmProcess({
    ...{ name: "coordinator", entry: "coordinator", readyMs: READY_MS },
    args: ["--listen", "127.0.0.1:0", "--data", folder],
    logPath: join(folder, "coordinator.log"),
  });
  const { address } = await coordinator.ready;
  const client = new FarmClient(address);
  const nodes: IdleNode[] = [];
  try {
    const startMs = monotonicMs();
    let lost = 0;
    for (let i = 0; i < streams; i++) {
      nodes.push(
        new IdleNode(address, `node-${i + 1}`, () => {
          lost += 1;
        }),
      );
    }
    await Promise.all(nodes.map(({ welcomed }) => welcomed));
    const joinedSeconds = (monotonicMs() - startMs) / 1_000;
    const pid = coordinator.pid ?? 0;
    const idle = await busyWhile(pid, () => sleep(WAITING_SECONDS * 1_000));
    await submitJobs(client, JOBS);
    const work = await busyWhile(pid, async () => {
      for (const node of nodes) node.go();
      const done = () => nodes.reduce((sum, node) => sum + node.tasksDone, 0);
      while (done() < JOBS * TASKS_OF_JOB) await sleep(5);
    });
    const tasks = JOBS * TASKS_OF_JOB;
    const name = `${streams} node streams`;
    return [
      noted(`${name}: all joined after`, joinedSeconds, "s"),
      noted(`${name}: heartbeats take of a core`, (100 * idle.busy) / idle.seconds, "%"),
      // Both ends are on this machine: a loss says that it is full, not the coordinator.
      noted(`${name}: lost for a while`, lost, ""),
      noted(`${name}: memory of the coordinator`, residentMib(pid), "MiB"),
      noted(`${name}: tasks handed over`, tasks / work.seconds, "/s"),
      noted(`${name}: processor time of a task`, (1_000 * work.busy) / tasks, "ms"),
    ];
  } finally {
    client.close();
    for (const node of nodes) node.close();
    coordinator.kill();
    await coordinator.ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Seconds that some work took, and those of them that the process was busy. */
async function busyWhile(
  pid: number,
  work: () => Promise<unknown>,
): Promise<{ readonly seconds: number; readonly busy: number }> {
  const [startMs, before] = [monotonicMs(), busySeconds(pid)];
  await work();
  return { seconds: (monotonicMs() - startMs) / 1_000, busy: busySeconds(pid) - before };
}

/** User and system time of a process. */
function busySeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function residentMib(pid: number): number {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) / 1_024;
}
