/** @file A coordinator with 10,000 queued jobs: its memory, and how long it takes to come back. */
import { execFileSync } from "node:child_process";
import { atMost, type Figure, noted } from "./figures.js";
import { monotonicMs } from "./monotonic.js";
import { SleepingFarm } from "./sleeping-farm.js";

const JOBS = 10_000;
/** Calls in flight. */
const CLIENTS = 64;
/** The one node works on the first job for ever. */
const TIMES = { halfMs: 600_000, chunkMs: 0, encoderMs: 600_000 };
const PAGE = 100;

export async function measureRestart(): Promise<Figure[]> {
  return SleepingFarm.with(1, TIMES, async (farm) => {
    await farm.submit({});
    const startMs = monotonicMs();
    let left = JOBS - 1;
    const client = async () => {
      while (left-- > 0) await farm.submit({});
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    const rate = (JOBS - 1) / ((monotonicMs() - startMs) / 1000);
    const fullMb = residentMb(farm.pid("coordinator"));
    const seconds = await farm.restartCoordinator();
    const replayedMb = residentMb(farm.pid("coordinator"));
    const kept = await countJobs(farm);
    if (kept !== JOBS) throw new Error(`${JOBS} jobs were accepted, ${kept} are left`);
    return [
      atMost("restart after kill -9 with 10,000 queued jobs", seconds, 10, "s"),
      atMost("coordinator's memory with 10,000 queued jobs", fullMb, 512, "MB"),
      atMost("the same after the restart", replayedMb, 512, "MB"),
      noted("jobs accepted a second, each in the journal on disk", rate, ""),
    ];
  });
}

async function countJobs(farm: SleepingFarm): Promise<number> {
  let count = 0;
  let token = "";
  do {
    const page = await farm.client.listJobs({ size: PAGE, token });
    count += page.jobs.length;
    token = page.nextToken;
  } while (token !== "");
  return count;
}

/** Resident memory of a process; ps counts in KiB everywhere. */
function residentMb(pid: number): number {
  return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" })) / 1024;
}
