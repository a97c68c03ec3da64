/**
 * @file The farm as one owner may see it: jobs of others are not there, for every verb alike. A
 * handler that gets this cannot tell them from ids that never were.
 */
import type { JobView } from "../../shared/farm/job.js";
import type { Farm } from "../plan/farm-state.js";
import type { Job } from "../plan/job.js";
import type { FarmLoop, JobWatcher, Occurrence } from "../shell/farm-loop.js";

/** What verbs on jobs need of the loop. */
export interface JobsLoop {
  readonly farm: Pick<Farm, "tasks"> & { readonly jobs: JobsSeen };
  view(jobId: string): JobView | null;
  watch(jobId: string, watcher: JobWatcher): () => void;
  dispatch(occurrence: Occurrence): Promise<void>;
  settled(): Promise<void>;
  nowMs(): number;
}

/** In the order of their creation. */
export interface JobsSeen {
  get(jobId: string): Job | undefined;
  has(jobId: string): boolean;
  values(): Iterable<Job>;
}

/** @param owner null: jobs of every owner */
export function loopSeenBy(loop: FarmLoop, owner: string | null): JobsLoop {
  if (owner === null) return loop;
  const isSeen = (jobId: string) => loop.farm.jobs.get(jobId)?.owner === owner;
  return {
    get farm() {
      const { jobs, tasks } = loop.farm;
      return { tasks, jobs: jobsOf(jobs, owner) };
    },
    view: (jobId) => (isSeen(jobId) ? loop.view(jobId) : null),
    watch: (jobId, watcher) => loop.watch(jobId, watcher),
    dispatch: (occurrence) => loop.dispatch(occurrence),
    settled: () => loop.settled(),
    nowMs: () => loop.nowMs(),
  };
}

function jobsOf(jobs: ReadonlyMap<string, Job>, owner: string): JobsSeen {
  const get = (jobId: string) => {
    const job = jobs.get(jobId);
    return job?.owner === owner ? job : undefined;
  };
  return {
    get,
    has: (jobId) => get(jobId) !== undefined,
    *values() {
      for (const job of jobs.values()) if (job.owner === owner) yield job;
    },
  };
}
