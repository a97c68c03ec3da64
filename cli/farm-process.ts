/** @file One process of a farm on this machine: started, waited for, watched, stopped. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { FarmError, isFarmErrorCode } from "../shared/core/errors.js";

export interface FarmProcessOptions {
  /** For messages, e.g. "node-1". */
  readonly name: string;
  /** Folder of the build whose main.js it is, e.g. "coordinator". */
  readonly entry: string;
  readonly args: readonly string[];
  /** Where its output is kept; null: it goes to our stderr. */
  readonly logPath: string | null;
  /** Programs, with arguments, that start it and become it; as in ["nice", "-n", "5"]. */
  readonly launcher?: readonly string[];
  /** Variables beside our own. */
  readonly env?: Readonly<Record<string, string>>;
  /** How long it may take to be ready. */
  readonly readyMs: number;
  /** Hears everything that it says over its channel. */
  readonly onMessage?: (message: unknown) => void;
}

/** What a process says when it is ready. */
export interface Ready {
  /** host:port of a coordinator, "" of a node. */
  readonly address: string;
  /** host:port of a coordinator's console and JSON gateway, "" where there is none. */
  readonly httpAddress: string;
}

/** How long a process may take to end before it is killed, unless told. */
const STOP_MS = 5_000;
/** Lines of its log that a message repeats. */
const COMPLAINTS_SHOWN = 12;

export class FarmProcess {
  readonly name: string;
  /** Resolves when the process has said that it is ready. Rejects when it ends before, or is late. */
  readonly ready: Promise<Ready>;
  /** Resolves with how it ended, in words: "exit code 1", "SIGKILL". */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #logPath: string | null;
  #hasEnded = false;
  #hasSaidWhy = false;

  constructor(options: FarmProcessOptions) {
    this.name = options.name;
    this.#logPath = options.logPath;
    const log = options.logPath === null ? 2 : openSync(options.logPath, "a");
    // A session of its own: Ctrl-C in the terminal reaches us, and we stop it in good order.
    const own = [process.execPath, entryPath(options.entry), ...options.args];
    const [program, ...args] = [...(options.launcher ?? []), ...own];
    this.#child = spawn(program!, args, {
      stdio: ["ignore", log, log, "ipc"],
      detached: true,
      env: { ...process.env, ...options.env },
    });
    if (log !== 2) closeSync(log);
    if (options.onMessage) this.#child.on("message", options.onMessage);
    this.ended = new Promise((resolve) => {
      const end = (how: string) => {
        this.#hasEnded = true;
        resolve(how);
      };
      this.#child.once("error", (error) => end(error.message));
      this.#child.once("exit", (code, signal) => end(signal ?? `exit code ${code}`));
    });
    this.ready = this.#waitReady(options.readyMs);
    this.ready.catch(() => {}); // whoever needs it awaits it; nobody may be waiting yet
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** SIGTERM, and SIGKILL for one that has not ended `withinMs` later; resolves when it is gone. */
  async stop(withinMs = STOP_MS): Promise<void> {
    if (!this.#hasEnded) this.#child.kill("SIGTERM");
    const kill = setTimeout(() => this.kill(), withinMs);
    await this.ended;
    clearTimeout(kill);
  }

  /** SIGKILL at once. */
  kill(): void {
    if (!this.#hasEnded) this.#child.kill("SIGKILL");
  }

  /** Its last complaints, a line each; none where no log is kept, and when it said why it ended. */
  complaints(): string[] {
    if (this.#logPath === null || this.#hasSaidWhy) return [];
    const lines = readFileSync(this.#logPath, "utf8").split("\n").flatMap(complaintOf);
    return lines.slice(-COMPLAINTS_SHOWN).map((line) => `  ${this.name}: ${line}`);
  }

  async #waitReady(readyMs: number): Promise<Ready> {
    let late: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Ready>((resolve, reject) => {
        this.#child.on("message", (message) => {
          const said = readMessage(message);
          if (said instanceof FarmError) {
            this.#hasSaidWhy = true;
            reject(said);
          } else if (said) resolve(said);
        });
        void this.ended.then((how) => {
          const detail = `${this.name} ended before it was ready (${how})`;
          reject(new FarmError("runtime-failed", detail));
        });
        late = setTimeout(() => {
          const detail = `${this.name} was not ready after ${readyMs / 1000} s`;
          reject(new FarmError("runtime-failed", detail));
        }, readyMs);
      });
    } finally {
      clearTimeout(late);
    }
  }
}

/** A log line that is a warning or worse, in words; a line that is no record of the logger as it is. */
function complaintOf(line: string): string[] {
  if (line.trim() === "") return [];
  try {
    const { level, msg, detail, reason } = JSON.parse(line) as Record<string, unknown>;
    if (level === "info" || level === "debug" || level === "trace") return [];
    return [[level, msg, detail, reason].filter((part) => part !== undefined).join(": ")];
  } catch {
    return [line];
  }
}

/** {kind: "ready", address?} or {kind: "failed", code, detail}; anything else is not for us. */
function readMessage(message: unknown): Ready | FarmError | null {
  if (typeof message !== "object" || message === null) return null;
  const { kind, address, httpAddress, code, detail } = message as Partial<Record<string, unknown>>;
  const textOf = (value: unknown) => (typeof value === "string" ? value : "");
  if (kind === "ready") return { address: textOf(address), httpAddress: textOf(httpAddress) };
  if (kind !== "failed") return null;
  const known = typeof code === "string" && isFarmErrorCode(code) ? code : "runtime-failed";
  return new FarmError(known, String(detail));
}

/** The compiled entry point, also for a caller that runs from source. */
function entryPath(entry: string): string {
  const isCompiled = import.meta.url.endsWith(".js");
  const path = isCompiled ? `../${entry}/main.js` : `../dist/${entry}/main.js`;
  return fileURLToPath(new URL(path, import.meta.url));
}
