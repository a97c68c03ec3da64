/**
 * @file A runtime that outlives its child: a dead child fails its runs at once and is replaced.
 *
 * Runs wait while a new child opens the checkpoint. A run that takes far longer than those before it
 * hangs; it is stopped the only way there is, by the end of the child.
 */
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import type { Clock } from "../../shared/ports/clock.js";
import type { Tensor } from "../../shared/tensor/tensor.js";
import {
  type ChildRuntime,
  type ChildRuntimeOptions,
  startChildRuntime,
} from "../runtime/child-runtime.js";
import { describeGraph, type GraphSpec, type Runtime } from "../runtime/runtime.js";
import type { RuntimeInfo } from "../runtime/runtime-info.js";

export interface SupervisionOptions {
  readonly child: Omit<ChildRuntimeOptions, "onDeath">;
  readonly clock: Clock;
  /** A child died, or was stopped; a new one is on its way. */
  readonly onRestart: (reason: FarmError) => void;
  /** No new child would start: this node can do nothing any more. */
  readonly onGone: (reason: FarmError) => void;
  /** Default: the real child. */
  readonly start?: (options: ChildRuntimeOptions) => Promise<ChildRuntime>;
}

/** A half of a step of SVD-XT takes minutes on a slow processor; nothing takes this long. */
const RUN_MS_MAX = 1_800_000;
/** A graph that ran before may take this many times its longest run so far, model load included. */
const HUNG_FACTOR = 10;
/** But never less than this: a machine may be busy with something else. */
const HUNG_MS_MIN = 60_000;
const RESTARTS_MAX = 3;
/** Between one failed restart and the next. */
const RESTART_DELAY_MS = 2_000;

export class SupervisedRuntime implements Runtime {
  readonly #options: SupervisionOptions;
  #child: ChildRuntime | null = null;
  /** Longest run so far, in milliseconds, by graph. */
  readonly #longestMs = new Map<string, number>();
  /** Settles when the child that is being started has opened the checkpoint, or never will. */
  #ready: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(options: SupervisionOptions) {
    this.#options = options;
  }

  /** @throws FarmError as the first start of the child does */
  static async start(options: SupervisionOptions): Promise<SupervisedRuntime> {
    const runtime = new SupervisedRuntime(options);
    const { start = startChildRuntime, child } = options;
    runtime.#child = await start({ ...child, onDeath: (reason) => runtime.#revive(reason) });
    return runtime;
  }

  /** What the first child said; a later one with another checkpoint is not taken. */
  get info(): RuntimeInfo {
    return this.#started().info;
  }

  async run(
    graph: GraphSpec,
    inputs: Readonly<Record<string, Tensor>>,
  ): Promise<Record<string, Tensor>> {
    await this.#ready;
    const { clock } = this.#options;
    const name = describeGraph(graph);
    const deadlineMs = this.#deadlineMs(name);
    const startMs = clock.nowMs();
    const cancelDeadline = clock.after(deadlineMs, () => {
      this.#started().kill();
      const detail = `${name}: the run took over ${deadlineMs} ms and was stopped`;
      this.#revive(new FarmError("runtime-failed", detail));
    });
    try {
      const outputs = await this.#started().run(graph, inputs);
      const tookMs = clock.nowMs() - startMs;
      this.#longestMs.set(name, Math.max(tookMs, this.#longestMs.get(name) ?? 0));
      return outputs;
    } finally {
      cancelDeadline();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#started().close();
  }

  /** A run cannot be asked whether it gets on; how long others took says when it does not. */
  #deadlineMs(name: string): number {
    const longestMs = this.#longestMs.get(name);
    if (longestMs === undefined) return RUN_MS_MAX;
    return Math.min(RUN_MS_MAX, Math.max(HUNG_MS_MIN, HUNG_FACTOR * longestMs));
  }

  #revive(reason: FarmError): void {
    if (this.#closed) return;
    this.#options.onRestart(reason);
    this.#ready = this.#restart();
  }

  async #restart(): Promise<void> {
    for (let attempt = 1; !this.#closed; attempt++) {
      try {
        await this.#started().restart();
        return;
      } catch (error) {
        if (this.#closed) return;
        if (attempt === RESTARTS_MAX) {
          this.#options.onGone(asFarmError(error));
          return;
        }
        await new Promise<void>((resolve) => this.#options.clock.after(RESTART_DELAY_MS, resolve));
      }
    }
  }

  #started(): ChildRuntime {
    if (this.#child === null) throw new Error("bug: a runtime that was not started");
    return this.#child;
  }
}
