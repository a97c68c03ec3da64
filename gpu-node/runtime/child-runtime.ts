/**
 * @file The agent's side of the runtime child: starts it, talks to it, notices its death.
 *
 * A child that dies takes only its runs with it: each of them fails with what was its end, and
 * `restart` brings a new child with the same model.
 */
import { assert } from "../../shared/core/assert.js";
import { FarmError } from "../../shared/core/errors.js";
import type { Tensor } from "../../shared/tensor/tensor.js";
import { type FromChild, fromWireError } from "./child-protocol.js";
import { engineFailureCode } from "./engine-failure.js";
import { describeGraph, type GraphSpec, type Runtime } from "./runtime.js";
import type { RuntimeInfo, RuntimeSettings } from "./runtime-info.js";
import { type RuntimeProcess, startRuntimeProcess } from "./runtime-process.js";

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

/**
 * Starts the child and waits until it has opened the checkpoint.
 *
 * @throws FarmError "deadline" when it takes too long, "runtime-failed" when it dies, and what
 *   opening the checkpoint throws
 */
export async function startChildRuntime(options: ChildRuntimeOptions): Promise<ChildRuntime> {
  const runtime = new RestartableRuntime(options);
  await runtime.restart();
  return runtime;
}

interface PendingRun {
  readonly graph: GraphSpec;
  readonly resolve: (outputs: Record<string, Tensor>) => void;
  readonly reject: (error: FarmError) => void;
}

/** One child from start to end. */
interface Child {
  readonly process: RuntimeProcess;
  readonly runs: Map<number, PendingRun>;
  /** Resolves when the process is gone and its runs have failed. */
  readonly ended: Promise<FarmError>;
  /** Set once it has opened the checkpoint. */
  isReady: boolean;
  /** Set once we want it to end: its death is then no news. */
  isLeaving: boolean;
}

class RestartableRuntime implements ChildRuntime {
  readonly #options: ChildRuntimeOptions;
  #child: Child | null = null;
  #info: RuntimeInfo | null = null;
  #lastEnd = "it was never started";
  #nextRun = 1;
  #isClosed = false;

  constructor(options: ChildRuntimeOptions) {
    this.#options = options;
  }

  get info(): RuntimeInfo {
    assert(this.#info !== null, "the child to have been ready");
    return this.#info;
  }

  get pid(): number | null {
    return this.#child?.process.pid ?? null;
  }

  async restart(): Promise<void> {
    assert(!this.#isClosed, "no restart after close");
    await this.#end("kill");
    try {
      const info = await this.#start();
      this.#refuseOther(info);
      this.#info = info;
    } catch (error) {
      await this.#end("kill");
      throw error;
    }
  }

  run(graph: GraphSpec, inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    const child = this.#child;
    if (child === null || !child.isReady) {
      const why = child === null ? this.#lastEnd : "it is starting";
      const detail = `${describeGraph(graph)}: the runtime is not running: ${why}`;
      return Promise.reject(new FarmError("runtime-failed", detail));
    }
    const id = this.#nextRun++;
    return new Promise((resolve, reject) => {
      child.runs.set(id, { graph, resolve, reject });
      child.process.send({ kind: "run", id, graph }, inputs);
    });
  }

  kill(): void {
    void this.#end("kill");
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#end(this.#child?.runs.size === 0 ? "dismiss" : "kill");
  }

  /** Starts a child and waits until it is ready. */
  async #start(): Promise<RuntimeInfo> {
    const { onDeath, readyTimeoutMs = READY_TIMEOUT_MS, ...settings } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const ready = new Promise<RuntimeInfo>((resolve, reject) => {
      const child = this.#launch((message) => {
        if (message.kind === "ready") {
          child.isReady = true;
          resolve(message.info);
        } else if (message.kind === "refused") {
          reject(fromWireError(message.error));
        }
      });
      void child.ended.then((reason) => {
        if (child.isReady && !child.isLeaving) onDeath?.(reason);
        reject(reason);
      });
      timer = setTimeout(() => {
        const detail = `${settings.checkpointDir} was not open after ${readyTimeoutMs} ms`;
        reject(new FarmError("deadline", detail));
      }, readyTimeoutMs);
      child.process.send({ kind: "open", settings, parentPid: process.pid });
    });
    return ready.finally(() => clearTimeout(timer));
  }

  #launch(onGreeting: (message: FromChild & { kind: "ready" | "refused" }) => void): Child {
    const runs = new Map<number, PendingRun>();
    const started = startRuntimeProcess((message, outputs) => {
      if (message.kind === "done" || message.kind === "failed") settle(runs, message, outputs);
      else onGreeting(message);
    });
    const ended = started.ended.then((how) => {
      this.#lastEnd = `the runtime child ended with ${how}`;
      this.#child = null;
      for (const { graph, reject } of runs.values()) {
        const detail = `${describeGraph(graph)}: ${this.#lastEnd}`;
        reject(new FarmError(engineFailureCode(how), detail));
      }
      runs.clear();
      return new FarmError("runtime-failed", this.#lastEnd);
    });
    this.#child = { process: started, runs, ended, isReady: false, isLeaving: false };
    return this.#child;
  }

  /** Ends the child that lives now, if one does, and waits until it is gone. */
  async #end(how: "kill" | "dismiss"): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    child.isLeaving = true;
    child.process[how]();
    const timer = setTimeout(() => child.process.kill(), CLOSE_TIMEOUT_MS);
    await child.ended;
    clearTimeout(timer);
  }

  #refuseOther({ model }: RuntimeInfo): void {
    const before = this.#info?.model.digest ?? model.digest;
    if (before === model.digest) return;
    throw new FarmError(
      "checkpoint-invalid",
      `${this.#options.checkpointDir} changed while it was in use: its digest was ${before}, now ${model.digest}; restart the node to take it`,
    );
  }
}

function settle(
  runs: Map<number, PendingRun>,
  message: FromChild & { kind: "done" | "failed" },
  outputs: Record<string, Tensor>,
): void {
  const run = runs.get(message.id);
  assert(run !== undefined, `an answer to a run that waits, not to run ${message.id}`);
  runs.delete(message.id);
  if (message.kind === "done") run.resolve(outputs);
  else run.reject(fromWireError(message.error));
}
