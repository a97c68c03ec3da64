/**
 * @file A room for processes: namespaces of the kernel with a disk or a network of their own, which go
 * when the room is closed. Linux alone has them, and not everywhere.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";

/** Who is root already needs no other user namespace, which not every machine allows. */
const AS_ROOT = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];

/** Why there can be no such room; null where there can. */
export function whyNoRoom(kind: "mount" | "net"): string | null {
  const opened = spawnSync("unshare", [...AS_ROOT, `--${kind}`, "true"], { encoding: "utf8" });
  if (opened.status === 0) return null;
  return `unshare --${kind}: ${opened.error?.message ?? opened.stderr.trim()}`;
}

/** Why there can be no link between such a room and this machine; null where there can. */
export function whyNoLink(): string | null {
  if (AS_ROOT.length > 0) return "the machine's end of a link is for root to make";
  const asked = spawnSync("ip", ["link"], { encoding: "utf8" });
  return asked.status === 0 ? whyNoRoom("net") : `ip: ${asked.error?.message ?? asked.stderr}`;
}

export class Room {
  /** Programs that start another one inside and become it. */
  readonly launcher: readonly string[];
  /** The process that keeps the room open. */
  readonly pid: number;
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess, kind: "mount" | "net") {
    this.#holder = holder;
    this.pid = holder.pid!;
    const user = AS_ROOT.length > 0 ? ["--user", "--preserve-credentials"] : [];
    this.launcher = ["nsenter", "--target", String(this.pid), ...user, `--${kind}`, "--"];
  }

  /** @param setUp a line of sh that makes the room what it is to be */
  static async open(kind: "mount" | "net", setUp: string): Promise<Room> {
    // It ends when nobody writes to it any more: with this process at the latest.
    const script = `${setUp} && echo open && exec cat`;
    const holder = spawn("unshare", [...AS_ROOT, `--${kind}`, "sh", "-c", script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const opened = once(holder.stdout, "data");
    const ended = once(holder, "exit").then(() => null);
    if ((await Promise.race([opened, ended])) === null) throw new Error(`no room: ${setUp}`);
    return new Room(holder, kind);
  }

  /** Runs a program inside and returns what it prints. */
  run(program: string, ...args: string[]): string {
    const [nsenter, ...rest] = this.launcher;
    return execFileSync(nsenter!, [...rest, program, ...args], { encoding: "utf8" });
  }

  /** A path of the room as others see it; not to be resolved. */
  outside(path: string): string {
    return `/proc/${this.pid}/root${path}`;
  }

  async close(): Promise<void> {
    const ended = once(this.#holder, "exit");
    this.#holder.stdin!.end();
    await ended;
  }
}
