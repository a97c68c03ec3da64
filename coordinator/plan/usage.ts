/**
 * @file Accounting: seconds that nodes were held by tasks, the ones whose work was lost apart.
 *
 * A member of a grant is charged from the grant to its end. Wasted are the seconds whose work came to
 * nothing: since the grant or the last step checkpoint, when the task failed, was lost with its node
 * or was cancelled.
 */
import type { Seconds } from "../../shared/farm/job.js";
import type { Stage } from "../../shared/farm/work.js";

const NOTHING: Seconds = { used: 0, wasted: 0 };

/** The accounts, each in the order of its first charge. */
export interface UsageEntries {
  readonly byJob: Iterable<readonly [string, Seconds]>;
  readonly byStage: Iterable<readonly [Stage, Seconds]>;
  readonly byOwner: Iterable<readonly [string, Seconds]>;
}

export class Usage {
  readonly #byJob: Map<string, Seconds>;
  readonly #byStage: Map<Stage, Seconds>;
  readonly #byOwner: Map<string, Seconds>;

  constructor(entries: UsageEntries = { byJob: [], byStage: [], byOwner: [] }) {
    this.#byJob = new Map(entries.byJob);
    this.#byStage = new Map(entries.byStage);
    this.#byOwner = new Map(entries.byOwner);
  }

  entries(): UsageEntries {
    return { byJob: this.#byJob, byStage: this.#byStage, byOwner: this.#byOwner };
  }

  charge(
    to: { readonly jobId: string; readonly owner: string; readonly stage: Stage },
    seconds: Seconds,
  ): void {
    const add = <K>(map: Map<K, Seconds>, key: K) => {
      const { used, wasted } = map.get(key) ?? NOTHING;
      map.set(key, { used: used + seconds.used, wasted: wasted + seconds.wasted });
    };
    add(this.#byJob, to.jobId);
    add(this.#byStage, to.stage);
    add(this.#byOwner, to.owner);
  }

  /** Its stage and its owner stay charged. */
  forgetJob(jobId: string): void {
    this.#byJob.delete(jobId);
  }

  ofJob(jobId: string): Seconds {
    return this.#byJob.get(jobId) ?? NOTHING;
  }

  ofStage(stage: Stage): Seconds {
    return this.#byStage.get(stage) ?? NOTHING;
  }

  ofOwner(owner: string): Seconds {
    return this.#byOwner.get(owner) ?? NOTHING;
  }
}
