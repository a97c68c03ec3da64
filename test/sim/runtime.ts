/** @file The runtime child of a node: runs take time, and it can crash apart from the agent. */
import { FarmError } from "../../shared/core/errors.js";
import type { SimProcess } from "./process.js";
import { hold } from "./violation.js";

/** Called once: null when the run ended well. */
export type RunAnswer = (error: FarmError | null) => void;

interface Run {
  readonly taskId: string;
  readonly answer: RunAnswer;
}

const RESTART_MS = 2_000;

export class SimRuntime {
  /** Every run fails with this; null: none does. */
  failing: FarmError | null = null;
  /** How much longer runs take. */
  slowness = 1;
  readonly #process: SimProcess;
  readonly #running = new Set<Run>();
  #readyAtMs = 0;

  constructor(process: SimProcess) {
    this.#process = process;
  }

  /** The agent's process has started anew, and the child with it. */
  reset(): void {
    this.#running.clear();
    this.#readyAtMs = 0;
  }

  run(taskId: string, ms: number, answer: RunAnswer): void {
    const run: Run = { taskId, answer };
    const waitMs = Math.max(0, this.#readyAtMs - this.#process.nowMs());
    this.#process.after(waitMs, () => {
      this.#running.add(run);
      const tasks = [...this.#running].map((other) => other.taskId);
      hold(tasks.length === 1, "I10", () => `${this.#process.name} runs ${tasks.join(" and ")}`);
      this.#process.after(ms * this.slowness, () => {
        if (this.#running.delete(run)) answer(this.failing);
      });
    });
  }

  /** What runs fails; what comes later waits for the new child. */
  crash(): void {
    this.#readyAtMs = this.#process.nowMs() + RESTART_MS;
    const running = [...this.#running];
    this.#running.clear();
    const error = new FarmError("runtime-failed", "the runtime child died");
    for (const { answer } of running) this.#process.guard(() => answer(error))();
  }
}
