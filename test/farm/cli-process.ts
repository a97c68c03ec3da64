/** @file `bin/renderfarm` as a process of its own, in an empty temporary folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { makeScratch, removeEmpty } from "./farm-harness.js";
import { descendantsOf, waitUntilGone } from "./processes.js";

const RENDERFARM = join(import.meta.dirname, "../../bin/renderfarm");

/** A command that takes longer to end in good order hangs. */
const STOP_MS_MAX = 15_000;

/** How a command ended and all that it said. */
export interface Ended {
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Of the environment, beside those of the test. */
type Variables = Readonly<Record<string, string>>;

/** Runs a command to its end. */
export function runCli(args: readonly string[], variables: Variables = {}): Promise<Ended> {
  return startCli(args, variables).ended;
}

/** Starts a command; what it has started is ended with the test, and has to leave no file behind. */
export function startCli(args: readonly string[], variables: Variables = {}): CliProcess {
  const scratch = makeScratch();
  const started = new CliProcess(args, scratch, variables);
  onTestFinished(async () => {
    await started.stop();
    removeEmpty(scratch);
  });
  return started;
}

export class CliProcess {
  /** Resolves when it is gone and everything it said is read. */
  readonly ended: Promise<Ended>;
  readonly #scratch: string;
  readonly #child: ChildProcess;
  readonly #said = { stdout: "", stderr: "" };
  readonly #listeners = new Set<() => void>();
  /** Everything that it has started; looked for whenever it says something. */
  readonly #pids = new Set<number>();

  constructor(args: readonly string[], scratch: string, variables: Variables) {
    this.#scratch = scratch;
    const { RENDERFARM_ADDRESS: _, ...environment } = process.env;
    this.#child = spawn(process.execPath, [RENDERFARM, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      // Settings of whoever runs the tests are none of theirs.
      env: { ...environment, ...variables, TMPDIR: scratch, XDG_CONFIG_HOME: scratch },
    });
    for (const name of ["stdout", "stderr"] as const) {
      this.#child[name]!.setEncoding("utf8").on("data", (text: string) => {
        this.#said[name] += text;
        this.pidsOf("");
        for (const listener of this.#listeners) listener();
      });
    }
    this.ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (exitCode) => resolve({ exitCode, ...this.#said }));
    });
  }

  /** Waits until what it said matches; fails when it ends before. */
  async said(name: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    let listener = () => {};
    try {
      return await new Promise<RegExpExecArray>((resolve, reject) => {
        listener = () => {
          const match = pattern.exec(this.#said[name]);
          if (match) resolve(match);
        };
        this.#listeners.add(listener);
        listener();
        void this.ended.then((how) =>
          reject(new Error(`ended without ${pattern}: ${JSON.stringify(how)}`)),
        );
      });
    } finally {
      this.#listeners.delete(listener);
    }
  }

  /** Processes that it has started and whose command line holds the text, itself not included. */
  pidsOf(text: string): number[] {
    const started = descendantsOf(this.#child.pid!);
    for (const { pid } of started) this.#pids.add(pid);
    return started.filter((p) => p.command.includes(text)).map((p) => p.pid);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Waits until nothing that it has started lives any more. */
  async leftNothing(): Promise<void> {
    await waitUntilGone((p) => this.#pids.has(p.pid) || p.command.includes(this.#scratch));
  }

  /** Ends it in good order if it still runs. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.signal("SIGTERM");
    const kill = setTimeout(() => this.signal("SIGKILL"), STOP_MS_MAX);
    await this.ended;
    clearTimeout(kill);
    await this.leftNothing();
  }
}
