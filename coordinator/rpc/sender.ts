/** @file Under whose name a job is sent: the key says so, never the request. */
import { FarmError } from "../../shared/core/errors.js";
import type { JobOptions } from "../../shared/farm/job.js";
import { isTerminal } from "../../shared/farm/job.js";
import type { FarmLoop } from "../shell/farm-loop.js";

/**
 * @param named the owner that the request names, or ""
 * @param sender the owner of the caller's key; null on a farm without keys
 * @throws FarmError "permission-denied" when the request names somebody else
 */
export function optionsOf(options: JobOptions, named: string, sender: string | null): JobOptions {
  if (sender === null) return options;
  if (named === "" || named === sender) return { ...options, owner: sender };
  const detail = `options.owner: the key is ${sender}'s; leave the owner out, or name ${sender}`;
  throw new FarmError("permission-denied", detail);
}

/** Two owners may choose the same request id. A line's end cannot be in one that a client sends. */
export function scopedRequestId(requestId: string, sender: string | null): string {
  return requestId === "" || sender === null ? requestId : `${sender}\n${requestId}`;
}

/** How many jobs of an owner wait: for nodes, for their time, or for others of his to end. */
export function queuedJobsOf({ farm }: FarmLoop, owner: string): number {
  let queued = 0;
  for (const job of farm.jobs.values()) {
    const isOpen = job.owner === owner && !isTerminal(job.state);
    if (isOpen && (job.state !== "running" || !job.admitted)) queued += 1;
  }
  return queued;
}
