/** @file The machine's table of processes: who lives, whose child it is, and waiting for an end. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
  /** Its command line, words parted by spaces. */
  readonly command: string;
}

const POLL_MS = 20;
/** From the end of an agent to that of its runtime child, and then some. */
const GONE_MS_MAX = 10_000;

/** Every living process that can be seen; what has ended and was not reaped yet is not living. */
function livingProcesses(): ProcessEntry[] {
  return existsSync("/proc/self/stat") ? fromProc() : fromPs();
}

/** The living children of a process, their children, and so on. */
export function descendantsOf(pid: number): ProcessEntry[] {
  const all = livingProcesses();
  const below = (parent: number): ProcessEntry[] =>
    all.filter((p) => p.parentPid === parent).flatMap((p) => [p, ...below(p.pid)]);
  return below(pid);
}

/**
 * Waits until no such process lives. They are not our children, so nothing tells us.
 *
 * @throws Error that names whoever still lives after 10 s
 */
export async function waitUntilGone(isMeant: (entry: ProcessEntry) => boolean): Promise<void> {
  const deadlineMs = Date.now() + GONE_MS_MAX;
  for (;;) {
    const left = livingProcesses().filter(isMeant);
    if (left.length === 0) return;
    if (Date.now() > deadlineMs) {
      const names = left.map(({ pid, command }) => `${pid} (${command})`).join(", ");
      throw new Error(`still living after ${GONE_MS_MAX / 1000} s: ${names}`);
    }
    await sleep(POLL_MS);
  }
}

function fromProc(): ProcessEntry[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // "pid (name) state ppid ...": the name may hold anything, so look behind its last bracket.
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [state, parentPid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state === "Z" || state === "X") return [];
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      return [{ pid: Number(name), parentPid: Number(parentPid), command }];
    } catch {
      return []; // it ended while we looked
    }
  });
}

function fromPs(): ProcessEntry[] {
  const table = execFileSync("ps", ["-A", "-ww", "-o", "pid=,ppid=,state=,args="], {
    encoding: "utf8",
  });
  return table.split("\n").flatMap((line) => {
    const [, pid, parentPid, state, command] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    if (state === undefined || state.startsWith("Z")) return [];
    return [{ pid: Number(pid), parentPid: Number(parentPid), command: command ?? "" }];
  });
}
