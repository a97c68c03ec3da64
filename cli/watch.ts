/** @file `renderfarm watch`: waits for a job that was sent before. */
import { FarmError, refuseViolations, type Violation } from "../shared/core/errors.js";
import { ID_PATTERN } from "../shared/core/ids.js";
import { type ConnectionFlags, connect, withWayOut } from "./connection.js";
import { detached } from "./detached.js";
import { WaitTimeout, withFilesElsewhere } from "./failures.js";
import { placeOutputs } from "./output-place.js";
import { showProgress } from "./progress.js";
import { finishJob, reportJob } from "./render-job.js";
import { type WaitFlags, waitLimit } from "./wait-limit.js";

export interface WatchFlags extends ConnectionFlags, WaitFlags {
  readonly out?: string;
  readonly json?: boolean;
}

/** Waits for a job and fetches its files. */
export async function watch(jobId: string, flags: WatchFlags, signal: AbortSignal): Promise<void> {
  checkJobId(jobId);
  const violations: Violation[] = [];
  const limit = waitLimit(flags, violations);
  refuseViolations(violations);
  const client = connect(flags);
  try {
    const { parameters, clips } = await client.getJob(jobId).catch((error: unknown) => {
      throw withWayOut(error);
    });
    const plan = await placeOutputs(flags, { ...parameters, clipCount: clips.length }, violations);
    refuseViolations(violations);
    const progress = showProgress(process.stderr, process.env);
    const finished = await finishJob(client, jobId, plan!, {
      progress,
      signal: AbortSignal.any([signal, limit]),
    }).catch((error: unknown) => {
      if (signal.aborted) throw new FarmError("cancelled", detached(jobId, flags));
      if (limit.aborted) throw new WaitTimeout("deadline", detached(jobId, flags));
      throw withFilesElsewhere(error, jobId);
    });
    reportJob(finished, [], flags.json ?? false);
  } finally {
    client.close();
  }
}

export function checkJobId(jobId: string): void {
  if (ID_PATTERN.test(jobId)) return;
  const description = `'${jobId.slice(0, 60)}' is no job id, which has 26 of [a-z0-9]`;
  refuseViolations([{ field: "JOB", description }]);
}
