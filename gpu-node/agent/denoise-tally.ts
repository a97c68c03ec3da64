/** @file What a node's time in one grant of a denoise task went into, told along with every step. */
import type { DenoiseTime, TaskReport } from "../../shared/farm/work.js";
import { type NodeObserver, silentNodeObserver } from "./node-observer.js";

const NOTHING: DenoiseTime = {
  ...{ steps: 0, computeSeconds: 0, exchangeSeconds: 0, combineSeconds: 0, saveSeconds: 0 },
};

/** Of one denoise task. */
export class DenoiseTally {
  /** Up to the last step told. */
  #told: DenoiseTime = NOTHING;
  /** Since then. */
  #since: DenoiseTime = NOTHING;
  #epoch = 0;

  /** To be told what the task does. */
  get observer(): NodeObserver {
    return {
      ...silentNodeObserver,
      halfMade: (_half, seconds) => this.#add({ computeSeconds: seconds }),
      waited: (seconds) => this.#add({ exchangeSeconds: seconds }),
      combined: (seconds) => this.#add({ combineSeconds: seconds }),
      saved: (seconds) => this.#add({ saveSeconds: seconds }),
      stepMade: () => this.#add({ steps: 1 }),
    };
  }

  /** Adds the sums to a report of progress; a new grant, as after a partner's loss, begins at nothing. */
  told(epoch: number, report: TaskReport): TaskReport {
    if (report.kind !== "progress") return report;
    this.#told = sum(epoch === this.#epoch ? this.#told : NOTHING, this.#since);
    this.#since = NOTHING;
    this.#epoch = epoch;
    return { ...report, spent: this.#told };
  }

  #add(more: Partial<DenoiseTime>): void {
    this.#since = sum(this.#since, { ...NOTHING, ...more });
  }
}

/** @param more a negative part, of a half that came early or a clock set back, counts as none */
function sum(a: DenoiseTime, more: DenoiseTime): DenoiseTime {
  return {
    steps: a.steps + more.steps,
    computeSeconds: a.computeSeconds + Math.max(0, more.computeSeconds),
    exchangeSeconds: a.exchangeSeconds + Math.max(0, more.exchangeSeconds),
    combineSeconds: a.combineSeconds + Math.max(0, more.combineSeconds),
    saveSeconds: a.saveSeconds + Math.max(0, more.saveSeconds),
  };
}
