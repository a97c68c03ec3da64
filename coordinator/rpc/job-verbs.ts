/** @file What users may ask of jobs that exist: checked here, decided in `plan/`. */
import { Job } from "../../proto/gen/renderfarm/v1/job.js";
import type * as wire from "../../proto/gen/renderfarm/v1/job_service.js";
import { decodeState, decodeTime, encodeJob } from "../../shared/adapters/grpc/job-codec.js";
import {
  FarmError,
  refuseViolations,
  type Thing,
  type Violation,
} from "../../shared/core/errors.js";
import type { JobView } from "../../shared/farm/job.js";
import { isTerminal, PRIORITY_MAX } from "../../shared/farm/job.js";
import { hasLabels, readSelector } from "../../shared/farm/labels.js";
import { planChunks } from "../../shared/farm/parameters.js";
import type { RetryScope } from "../plan/events.js";
import type { JobsLoop } from "./owned-loop.js";
import { decodePageToken, encodePageToken, startOfPage } from "./page-token.js";

const PAGE_SIZE_DEFAULT = 100;
const PAGE_SIZE_MAX = 500;
/** A page ends with the job that passes it: a job may have a thousand clips. */
const PAGE_BYTES = 1024 * 1024;

/** @throws FarmError "not-found" */
export function findJob(loop: JobsLoop, jobId: string): JobView {
  const job = loop.view(jobId);
  if (job) return job;
  const shown = jobId.slice(0, 64);
  throw new FarmError("not-found", `there is no job '${shown}'`, { thing: jobThing(shown) });
}

const jobThing = (jobId: string): Thing => ({ kind: "job", name: `jobs/${jobId}` });

/** Jobs to wait for that there are not, a violation each. */
export function unknownJobs(loop: JobsLoop, jobIds: readonly string[]): Violation[] {
  return jobIds.flatMap((jobId, i) => {
    if (loop.farm.jobs.has(jobId)) return [];
    return [{ field: `options.depends_on[${i}]`, description: `there is no job '${jobId}'` }];
  });
}

/** The newest first. A page begins after the job that the token names. */
export function listJobs(loop: JobsLoop, request: wire.ListJobsRequest): wire.ListJobsResponse {
  const { pageSize, pageToken } = request;
  if (pageSize < 0) refuse("page_size", `${pageSize} is negative; 0 takes ${PAGE_SIZE_DEFAULT}`);
  const size = pageSize === 0 ? PAGE_SIZE_DEFAULT : Math.min(pageSize, PAGE_SIZE_MAX);
  const states = new Set(request.states.map((state, i) => decodeState(state, `states[${i}]`)));
  const violations: Violation[] = [];
  const selector = readSelector(request.labelSelector, "label_selector", violations);
  refuseViolations(violations);
  const end = pageToken === "" ? null : decodePageToken(pageToken, request);
  const newestFirst = [...loop.farm.jobs.values()].reverse();
  const start = end === null ? 0 : startOfPage(end, newestFirst);
  const page: wire.ListJobsResponse["jobs"] = [];
  let bytes = 0;
  let last: Pick<JobView, "jobId" | "createdAtMs"> | null = null;
  for (const next of newestFirst.slice(start)) {
    const isFull = page.length === size || bytes > PAGE_BYTES;
    if (isFull && last) return { jobs: page, nextPageToken: encodePageToken(last, request) };
    last = next;
    const job = findJob(loop, next.jobId);
    if (states.size > 0 && !states.has(job.state)) continue;
    if (!hasLabels(job.options.labels, selector)) continue;
    const message = encodeJob(job);
    bytes += Job.encode(message).finish().length;
    page.push(message);
  }
  return { jobs: page, nextPageToken: "" };
}

/** @throws FarmError "not-found"; "wrong-state" when it has ended otherwise */
export async function cancelJob(loop: JobsLoop, jobId: string): Promise<JobView> {
  const { state } = findJob(loop, jobId);
  if (state === "cancelled") return findJob(loop, jobId);
  refuseEnded(loop, jobId);
  await loop.dispatch({ kind: "job-cancelled", jobId });
  return findJob(loop, jobId);
}

/** @throws FarmError "not-found", "wrong-state" */
export async function pauseJob(loop: JobsLoop, jobId: string): Promise<JobView> {
  refuseEnded(loop, jobId);
  await loop.dispatch({ kind: "job-paused", jobId });
  return findJob(loop, jobId);
}

/** @throws FarmError "not-found", "wrong-state" */
export async function resumeJob(loop: JobsLoop, jobId: string): Promise<JobView> {
  refuseEnded(loop, jobId);
  await loop.dispatch({ kind: "job-resumed", jobId });
  return findJob(loop, jobId);
}

/** @throws FarmError "not-found", "wrong-state", "invalid-argument" */
export async function setPriority(
  loop: JobsLoop,
  { jobId, priority }: wire.SetJobPriorityRequest,
): Promise<JobView> {
  if (priority > PRIORITY_MAX) refuse("priority", `${priority} is not from 0 to ${PRIORITY_MAX}`);
  refuseEnded(loop, jobId);
  await loop.dispatch({ kind: "job-prioritized", jobId, priority });
  return findJob(loop, jobId);
}

/** @throws FarmError "not-found", "wrong-state" when there is nothing to do again */
export async function retryJob(loop: JobsLoop, request: wire.RetryJobRequest): Promise<JobView> {
  const { jobId } = request;
  const before = findJob(loop, jobId);
  const what = retryScope(before, request);
  const deadlineMs = decodeTime(request.deadlineTime, "deadline_time") ?? undefined;
  if (deadlineMs !== undefined && deadlineMs <= loop.nowMs()) {
    refuse("deadline_time", `${new Date(deadlineMs).toISOString()} has passed; name a later one`);
  }
  const run = loop.farm.jobs.get(jobId);
  await loop.dispatch({ kind: "job-retried", jobId, what, deadlineMs });
  if (loop.farm.jobs.get(jobId) === run) {
    const detail = `nothing of job ${jobId} failed, expired, was cancelled or has ended`;
    throw new FarmError("wrong-state", detail, { thing: jobThing(jobId) });
  }
  return findJob(loop, jobId);
}

/** @throws FarmError "not-found", "wrong-state" while it has not ended */
export async function deleteJob(loop: JobsLoop, jobId: string): Promise<wire.DeleteJobResponse> {
  const { state } = findJob(loop, jobId);
  if (!isTerminal(state)) {
    const detail = `job ${jobId} is ${state}; cancel it first`;
    throw new FarmError("wrong-state", detail, { thing: jobThing(jobId) });
  }
  await loop.dispatch({ kind: "job-deleted", jobId });
  return {};
}

function retryScope(job: JobView, request: wire.RetryJobRequest): RetryScope {
  const { clipIndex, chunkIndex } = request;
  if (clipIndex === undefined) {
    if (chunkIndex !== undefined) refuse("clip_index", "is missing beside chunk_index");
    return { kind: "job" };
  }
  if (clipIndex >= job.clips.length) {
    refuse("clip_index", `${clipIndex} is not from 0 to ${job.clips.length - 1}`);
  }
  if (chunkIndex === undefined) return { kind: "clip", clipIndex };
  const { numFrames, decodeChunkSize } = job.parameters;
  const chunks = planChunks(numFrames, decodeChunkSize).length;
  if (chunkIndex >= chunks) refuse("chunk_index", `${chunkIndex} is not from 0 to ${chunks - 1}`);
  return { kind: "chunk", clipIndex, chunkIndex };
}

function refuseEnded(loop: JobsLoop, jobId: string): void {
  const { state } = findJob(loop, jobId);
  if (!isTerminal(state)) return;
  const detail = `job ${jobId} has ended: ${state}`;
  throw new FarmError("wrong-state", detail, { thing: jobThing(jobId) });
}

function refuse(field: string, description: string): never {
  const violations = [{ field, description }];
  throw new FarmError("invalid-argument", `${field}: ${description}`, { violations });
}
