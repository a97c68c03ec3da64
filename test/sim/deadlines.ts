/** @file I14: when each job should expire, kept apart from what production keeps. */
import type { FarmEvent } from "../../coordinator/plan/events.js";
import type { Farm } from "../../coordinator/plan/farm-state.js";
import type { Job } from "../../coordinator/plan/job.js";
import { isTerminal } from "../../shared/farm/job.js";
import { hold } from "./violation.js";

export class Deadlines {
  /** Milliseconds since 1970, by job. */
  readonly #ofJob = new Map<string, number>();

  /** An event of the journal, with its job as it was and as it is. */
  follow(event: FarmEvent, before: Job | undefined, after: Job | undefined): void {
    const { atMs } = event;
    switch (event.kind) {
      case "job-created": {
        const { jobId, deadlineMs } = event.job;
        if (!before && after && deadlineMs !== null) this.#ofJob.set(jobId, deadlineMs);
        return;
      }
      case "job-retried": {
        if (after === before) return;
        const old = this.#ofJob.get(event.jobId) ?? 0;
        const next = event.deadlineMs ?? (old > atMs ? old : null);
        if (next === null) this.#ofJob.delete(event.jobId);
        else this.#ofJob.set(event.jobId, next);
        return;
      }
      case "job-expired": {
        if (!before || isTerminal(before.state)) return;
        const deadlineMs = this.#ofJob.get(event.jobId) ?? Number.POSITIVE_INFINITY;
        const at = () => `${event.jobId} expires at ${atMs}`;
        hold(deadlineMs <= atMs, "I14", () => `${at()}, and its deadline is ${deadlineMs}`);
        hold(after?.state === "expired", "I14", () => `${at()} and is ${after?.state}`);
        return;
      }
      default:
    }
  }

  /** Jobs whose deadline is over. */
  lateJobs(nowMs: number): ReadonlyMap<string, number> {
    return new Map([...this.#ofJob].filter(([, deadlineMs]) => deadlineMs <= nowMs));
  }

  /** @param late jobs that were late when the coordinator last looked, and have had their end since */
  checkEnded(late: ReadonlyMap<string, number>, farm: Farm): void {
    for (const [jobId, deadlineMs] of late) {
      const job = farm.jobs.get(jobId);
      if (!job || this.#ofJob.get(jobId) !== deadlineMs) continue;
      hold(isTerminal(job.state), "I14", () => `${jobId} is ${job.state} after its deadline`);
    }
  }
}
