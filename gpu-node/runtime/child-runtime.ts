/**
 * @file The agent's side of the runtime child: starts it, talks to it, notices its death.
 *
 * A child that dies takes only its runs with it: each of them fails with what was its end, and
 * `restart` brings a new child with the same model.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { assert } from "../../shared/core/assert.js";
import { FarmError } from "../../shared/core/errors.js";
import type { Tensor } from "../../shared/tensor/tensor.js";
import { type FromChild, fromWireError, type ToChild } from "./child-protocol.js";
import { describeGraph, type GraphSpec, type Runtime } from "./runtime.js";
import type { RuntimeInfo, RuntimeSettings } from "./runtime-info.js";

export interface ChildRuntimeOptions extends RuntimeSettings {
  /** How long a child may take to open the checkpoint. Default 300,000 (5 minutes). */
  readonly readyTimeoutMs?: number;
  /** The child died and nobody had asked for it; its runs have failed already. */
  readonly onDeath?: (reason: FarmError) => void;
}

export interface ChildRuntime extends Runtime {
  /** What the child said when it was ready. */
  readonly info: RuntimeInfo;
  /** Process id of the living child; null while there is none. */
  readonly pid: number | null;
  /**
   * Starts a new child in place of a dead one, or of a living one, which is killed first.
   *
   * @throws FarmError as `startChildRuntime`, and "checkpoint-invalid" when the checkpoint is not
   *   the same as before
   */
  restart(): Promise<void>;
  /** SIGKILL, the only way to stop a run: every run fails with "runtime-failed". */
  kill(): void;
}

const READY_TIMEOUT_MS = 300_000;
/** How long a child may take to leave before it is killed. */
const CLOSE_TIMEOUT_MS = 2_000;
/** What is kept of the child's stderr for the text of an error. */
const STDERR_CHARACTERS_KEPT = 2_000;

/**
 * Starts the child and waits until it has opened the checkpoint.
 *
 * @throws FarmError "deadline" when it takes too long, "runtime-failed" when it dies, and what
 *   opening the checkpoint throws
 */
export async function startChildRuntime(options: ChildRuntimeOptions): Promise<ChildRuntime> {
  const runtime = new ForkedRuntime(options);
  await runtime.restart();
  return runtime;
}

/**
 * The file that is forked: always compiled JavaScript, also for a caller that runs from source.
 */
export function runtimeChildPath(): string {
  const isCompiled = import.meta.url.endsWith(".js");
  const path = isCompiled ? "./runtime-child.js" : "../../dist/gpu-node/runtime/runtime-child.js";
  return fileURLToPath(new URL(path, import.meta.url));
}

interface PendingRun {
  readonly graph: GraphSpec;
  readonly resolve: (outputs: Record<string, Tensor>) => void;
  readonly reject: (error: FarmError) => void;
}

/** One child from fork to end. */
interface Child {
  readonly process: ChildProcess;
  readonly runs: Map<number, PendingRun>;
  /** Resolves when the process is gone and its runs have failed. */
  readonly ended: Promise<FarmError>;
  /** Set once it has opened the checkpoint. */
  ready: boolean;
  /** Set once we want it to end: its death is then no news. */
  leaving: boolean;
}

class ForkedRuntime implements ChildRuntime {
  readonly #options: ChildRuntimeOptions;
  #child: Child | null = null;
  #info: RuntimeInfo | null = null;
  #lastEnd = "it was never started";
  #nextRun = 1;
  #closed = false;

  constructor(options: ChildRuntimeOptions) {
    this.#options = options;
  }

  get info(): RuntimeInfo {
    assert(this.#info !== null, "the child to be ready");
    return this.#info;
  }

  get pid(): number | null {
    return this.#child?.process.pid ?? null;
  }

  async restart(): Promise<void> {
    assert(!this.#closed, "no restart after close");
    await this.#end("SIGKILL");
    const child = this.#launch();
    const info = await this.#ready(child).catch(async (error: unknown) => {
      await this.#end("SIGKILL");
      throw error;
    });
    const before = this.#info?.model.digest;
    if (before !== undefined && before !== info.model.digest) {
      await this.#end("SIGKILL");
      throw new FarmError(
        "checkpoint-invalid",
        `${this.#options.checkpointDir} changed while it was in use: digest ${before}, now ${info.model.digest}; restart the node`,
      );
    }
    this.#info = info;
  }

  run(graph: GraphSpec, inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    const child = this.#child;
    if (child === null || !child.ready) {
      const why = child === null ? this.#lastEnd : "it is starting";
      const detail = `${describeGraph(graph)}: the runtime is not running: ${why}`;
      return Promise.reject(new FarmError("runtime-failed", detail));
    }
    const id = this.#nextRun++;
    return new Promise((resolve, reject) => {
      child.runs.set(id, { graph, resolve, reject });
      post(child, { kind: "run", id, graph, inputs });
    });
  }

  kill(): void {
    void this.#end("SIGKILL");
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#end(this.#child?.runs.size === 0 ? "disconnect" : "SIGKILL");
  }

  /** Ends the child that lives now, if one does, and waits until it is gone. */
  async #end(how: "SIGKILL" | "disconnect"): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    child.leaving = true;
    if (how === "disconnect" && child.process.connected) child.process.disconnect();
    else child.process.kill("SIGKILL");
    const timer = setTimeout(() => child.process.kill("SIGKILL"), CLOSE_TIMEOUT_MS);
    await child.ended;
    clearTimeout(timer);
  }

  #launch(): Child {
    const process_ = fork(runtimeChildPath(), [], {
      serialization: "advanced",
      execArgv: [], // none of the parent's debugger or loader
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    let words = "";
    process_.stderr?.setEncoding("utf8").on("data", (text: string) => {
      words = (words + text).slice(-STDERR_CHARACTERS_KEPT);
    });

    let end: (reason: FarmError) => void = () => {};
    const ended = new Promise<FarmError>((resolve) => {
      end = resolve;
    });
    const child: Child = {
      process: process_,
      runs: new Map(),
      ended,
      ready: false,
      leaving: false,
    };
    process_.on("message", (message: FromChild) => settle(child, message));
    let spawnError: string | null = null;
    process_.on("error", (error) => {
      spawnError = error.message;
    });
    process_.once("close", (code, signal) => {
      const how = spawnError ?? (signal === null ? `exit code ${code}` : `signal ${signal}`);
      this.#lastEnd = `the runtime child ended with ${how}${quoted(words)}`;
      if (this.#child === child) this.#child = null;
      const reason = new FarmError("runtime-failed", this.#lastEnd);
      for (const run of child.runs.values()) {
        const detail = `${describeGraph(run.graph)}: ${this.#lastEnd}`;
        run.reject(new FarmError("runtime-failed", detail));
      }
      child.runs.clear();
      end(reason);
    });
    this.#child = child;
    return child;
  }

  async #ready(child: Child): Promise<RuntimeInfo> {
    const { onDeath, readyTimeoutMs = READY_TIMEOUT_MS, ...settings } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const answer = new Promise<RuntimeInfo>((resolve, reject) => {
      child.process.on("message", (message: FromChild) => {
        if (message.kind === "ready") resolve(message.info);
        if (message.kind === "refused") reject(fromWireError(message.error));
      });
      timer = setTimeout(() => {
        const detail = `${settings.checkpointDir} was not open after ${readyTimeoutMs} ms`;
        reject(new FarmError("deadline", detail));
      }, readyTimeoutMs);
      void child.ended.then(reject);
    });
    post(child, { kind: "open", settings, parentPid: process.pid });
    try {
      const info = await answer;
      child.ready = true;
      void child.ended.then((reason) => {
        if (!child.leaving) onDeath?.(reason);
      });
      return info;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A message that cannot be sent means that the child is going; its end fails the runs. */
function post(child: Child, message: ToChild): void {
  if (!child.process.connected) return;
  child.process.send(message, () => {});
}

function settle(child: Child, message: FromChild): void {
  if (message.kind !== "done" && message.kind !== "failed") return;
  const run = child.runs.get(message.id);
  if (run === undefined) return;
  child.runs.delete(message.id);
  if (message.kind === "done") run.resolve(message.outputs);
  else run.reject(fromWireError(message.error));
}

function quoted(words: string): string {
  const text = words.trim();
  return text === "" ? "" : `; its last words: ${text.split(/\r?\n/).slice(-6).join(" | ")}`;
}
