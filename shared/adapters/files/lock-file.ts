/**
 * @file A lock between processes of one machine: a file that names its holder.
 *
 * A holder that was killed leaves its file behind, so the file says which process it was and when
 * that process started: ids of processes are given out again, in a container even at once.
 */
import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { FarmError } from "../../core/errors.js";
import { systemErrorCode } from "./durable.js";

interface Holder {
  readonly pid: number;
  /** Start of the process in ticks since the machine's; null where the system does not tell. */
  readonly started: string | null;
  /** Tells the locks of one process apart. */
  readonly token: string;
}

/** Two holders whose processes die in turn are taken over in turn; more is a fight. */
const ATTEMPTS_MAX = 5;

/**
 * Takes the lock, from a dead holder too.
 *
 * @returns gives the lock back
 * @throws FarmError "wrong-state" naming the process that holds it
 */
export async function takeLock(path: string): Promise<() => Promise<void>> {
  const own: Holder = {
    pid: process.pid,
    started: (await statOf(process.pid))?.started ?? null,
    token: randomUUID(),
  };
  const offer = `${path}.${own.token}`;
  // Linked into place, the lock is there with its content or not at all.
  await writeFile(offer, JSON.stringify(own), { flag: "wx", mode: 0o600 });
  try {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (await linkUnlessTaken(offer, path)) return () => rm(path, { force: true });
      await clearDeadHolder(path, offer);
    }
  } finally {
    await rm(offer, { force: true });
  }
  throw new FarmError("wrong-state", `the lock ${path} changes hands too fast; try again`);
}

async function clearDeadHolder(path: string, offer: string): Promise<void> {
  const holder = await readHolder(path);
  if (holder === "gone") return;
  if (holder === "unreadable") {
    throw new FarmError("wrong-state", `the lock ${path} is damaged; remove it if nothing runs`);
  }
  if (await isAlive(holder)) {
    const text = `${path} is held by process ${holder.pid}, which is running; stop that one first`;
    throw new FarmError("wrong-state", text);
  }
  // Of several that want to clear it, the rename lets one through; what it moved may by then be
  // the next holder's file, which goes back to its place.
  const moved = `${offer}.dead`;
  await rename(path, moved).catch(ignoreMissing);
  const taken = await readHolder(moved);
  if (taken !== "gone" && taken !== "unreadable" && taken.token !== holder.token) {
    await linkUnlessTaken(moved, path);
  }
  await rm(moved, { force: true });
}

async function linkUnlessTaken(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "EEXIST") return false;
    throw error;
  }
}

async function readHolder(path: string): Promise<Holder | "gone" | "unreadable"> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    ignoreMissing(error);
    return "gone";
  }
  try {
    const { pid, started, token } = JSON.parse(text) as Record<string, unknown>;
    if (typeof pid !== "number" || !Number.isInteger(pid) || pid < 1) return "unreadable";
    if (typeof token !== "string") return "unreadable";
    return { pid, started: typeof started === "string" ? started : null, token };
  } catch {
    return "unreadable";
  }
}

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: it is there and belongs to somebody else.
    return systemErrorCode(error) === "EPERM";
  }
  const stat = await statOf(holder.pid);
  // A zombie has ended and waits for a parent that never asks.
  if (stat?.state === "Z" || stat?.state === "X") return false;
  return !stat || holder.started === null || stat.started === holder.started;
}

/**
 * @returns fields 3 and 22 of /proc/PID/stat, or null where there is no such file
 * @source proc(5): the name in field 2 may hold spaces and brackets, so counting starts after it
 */
async function statOf(pid: number): Promise<{ state: string; started: string } | null> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, started] = [fields?.[0], fields?.[19]];
  return state && started ? { state, started } : null;
}

function ignoreMissing(error: unknown): void {
  if (systemErrorCode(error) !== "ENOENT") throw error;
}
