/**
 * @file What users may ask of the farm, as plain functions of a request and its caller: gRPC and HTTP
 * are two edges of this one thing, so a check made here holds on both.
 */
import type * as wire from "../../proto/gen/renderfarm/v1/job_service.js";
import { encodeBlobRef } from "../../shared/adapters/grpc/blob-codec.js";
import { encodeJob } from "../../shared/adapters/grpc/job-codec.js";
import { encodeJobEvent } from "../../shared/adapters/grpc/job-log-codec.js";
import { encodeOutput } from "../../shared/adapters/grpc/work-codec.js";
import { FarmError } from "../../shared/core/errors.js";
import type { ClipPreview, JobView } from "../../shared/farm/job.js";
import type { Output } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { type Caller, ownerSeenBy, senderOf } from "../access/caller.js";
import type { CallContext } from "./call-context.js";
import { createJob, type JobParts } from "./create-job.js";
import { drainNode, undrainNode, viewFarm } from "./farm-verbs.js";
import { boundedInput, newInputKey } from "./inputs.js";
import {
  cancelJob,
  deleteJob,
  findJob,
  listJobs,
  pauseJob,
  resumeJob,
  retryJob,
  setPriority,
} from "./job-verbs.js";
import { type JobsLoop, loopSeenBy } from "./owned-loop.js";

/** One question and one answer; rejects with a FarmError that either edge can tell. */
export type Ask<Q, A> = (request: Q, caller: Caller, context: CallContext) => Promise<A>;

/** Which file of which clip. */
export type OutputName = Pick<wire.DownloadOutputRequest, "jobId" | "clipIndex" | "fileName">;

/** A finished file: what it is, and its bytes in pieces. */
export interface OpenOutput {
  readonly output: Output;
  read(): AsyncIterable<Uint8Array>;
}

export interface JobApi {
  readonly createJob: Ask<wire.CreateJobRequest, wire.CreateJobResponse>;
  readonly getJob: Ask<wire.GetJobRequest, wire.GetJobResponse>;
  readonly cancelJob: Ask<wire.CancelJobRequest, wire.CancelJobResponse>;
  readonly listJobs: Ask<wire.ListJobsRequest, wire.ListJobsResponse>;
  readonly pauseJob: Ask<wire.PauseJobRequest, wire.PauseJobResponse>;
  readonly resumeJob: Ask<wire.ResumeJobRequest, wire.ResumeJobResponse>;
  readonly retryJob: Ask<wire.RetryJobRequest, wire.RetryJobResponse>;
  readonly setJobPriority: Ask<wire.SetJobPriorityRequest, wire.SetJobPriorityResponse>;
  readonly deleteJob: Ask<wire.DeleteJobRequest, wire.DeleteJobResponse>;
  readonly drainNode: Ask<wire.DrainNodeRequest, wire.DrainNodeResponse>;
  readonly undrainNode: Ask<wire.UndrainNodeRequest, wire.UndrainNodeResponse>;
  readonly listJobEvents: Ask<wire.ListJobEventsRequest, wire.ListJobEventsResponse>;
  readonly listOutputs: Ask<wire.ListOutputsRequest, wire.ListOutputsResponse>;
  /** @throws FarmError "not-found", "wrong-state" where the store gives no links */
  readonly getOutputLink: Ask<wire.GetOutputLinkRequest, wire.GetOutputLinkResponse>;
  readonly getFarm: Ask<wire.GetFarmRequest, wire.GetFarmResponse>;
  readonly collectGarbage: Ask<wire.CollectGarbageRequest, wire.CollectGarbageResponse>;
  /** Bytes of an input, in pieces of any size; the bound is on their sum. */
  readonly uploadInput: Ask<AsyncIterable<Uint8Array>, wire.UploadInputResponse>;
  /** @throws FarmError "not-found" */
  readonly openOutput: Ask<OutputName, OpenOutput>;
  /** The pictures of a job, in order: good for another job for as long as this one exists. */
  readonly inputsOf: Ask<wire.GetJobRequest, readonly BlobRef[]>;
  /**
   * Calls back with the state now and after every change, until the returned function is called.
   *
   * @throws FarmError "not-found"
   */
  watchJob(request: wire.WatchJobRequest, caller: Caller, send: (job: JobView) => void): () => void;
  /** The latest preview of each clip of a watched job that has one, the longest unchanged first. */
  previewsOf(jobId: string): readonly ClipPreview[];
}

/**
 * The farm in memory is ahead of the journal while an append is under way. So every answer, also one
 * that only looks, waits until the journal has what it says: a crash takes back nothing that was told.
 */
export function jobApi(parts: JobParts): JobApi {
  const { loop, blobs, janitor, quotas } = parts;
  const told = <Q, A>(ask: Ask<Q, A>): Ask<Q, A> => {
    return async (request, caller, context) => {
      // Whoever waited for a full journal would wait for as long as it takes to make room.
      loop.refuseFullJournal();
      return Promise.resolve()
        .then(() => ask(request, caller, context))
        .finally(() => loop.settled());
    };
  };
  /** The farm as the caller may see it: verbs on jobs get no other. */
  const seen = (caller: Caller) => loopSeenBy(loop, ownerSeenBy(caller));
  const job = (view: JobView) => ({ job: encodeJob(view) });
  return {
    createJob: told((request, caller, context) => createJob(parts, request, caller, context)),
    getJob: told(async ({ jobId }, caller) => job(findJob(seen(caller), jobId))),
    cancelJob: told(async ({ jobId }, caller) => job(await cancelJob(seen(caller), jobId))),
    listJobs: told(async (request, caller) => listJobs(seen(caller), request)),
    pauseJob: told(async ({ jobId }, caller) => job(await pauseJob(seen(caller), jobId))),
    resumeJob: told(async ({ jobId }, caller) => job(await resumeJob(seen(caller), jobId))),
    retryJob: told(async (request, caller) => job(await retryJob(seen(caller), request))),
    setJobPriority: told(async (request, caller) => job(await setPriority(seen(caller), request))),
    deleteJob: told(async ({ jobId }, caller) => deleteJob(seen(caller), jobId)),
    drainNode: told(async ({ nodeId }) => ({ node: await drainNode(loop, nodeId) })),
    undrainNode: told(async ({ nodeId }) => ({ node: await undrainNode(loop, nodeId) })),
    listJobEvents: told(async ({ jobId }, caller) => {
      findJob(seen(caller), jobId);
      return { events: loop.logOf(jobId).map(encodeJobEvent) };
    }),
    listOutputs: told(async ({ jobId, clipIndex }, caller) => ({
      outputs: outputsOf(seen(caller), jobId, clipIndex).map(encodeOutput),
    })),
    getFarm: told(async (_request, caller) => viewFarm(loop, ownerSeenBy(caller))),
    collectGarbage: told(async ({ dryRun }) => {
      const found = await janitor.collect({ dryRun });
      return { blobs: BigInt(found.blobs), bytes: BigInt(found.bytes) };
    }),
    uploadInput: async (pieces, caller) => {
      const sender = senderOf(caller);
      const admit = (bytes: number) => {
        if (sender !== null) quotas?.takeInputBytes(sender, bytes);
      };
      const ref = await blobs.put(newInputKey(sender), boundedInput(pieces, admit));
      return { blob: encodeBlobRef(ref) };
    },
    openOutput: told(async (request, caller) => {
      const output = findOutput(seen(caller), request);
      return { output, read: () => blobs.read(output.blob) };
    }),
    getOutputLink: told((request, caller) => linkTo(parts, findOutput(seen(caller), request))),
    inputsOf: told(async ({ jobId }, caller) => {
      const { farm } = seen(caller);
      findJob(seen(caller), jobId);
      return farm.jobs.get(jobId)?.images ?? [];
    }),
    watchJob: ({ jobId }, caller, send) => {
      findJob(seen(caller), jobId);
      return loop.watch(jobId, send);
    },
    previewsOf: (jobId) => loop.previews(jobId),
  };
}

/** @throws FarmError "not-found" */
function outputsOf(loop: JobsLoop, jobId: string, clipIndex: number): readonly Output[] {
  findJob(loop, jobId);
  const clip = loop.farm.jobs.get(jobId)?.clips[clipIndex];
  if (clip) return clip.outputs;
  const thing = { kind: "clip", name: `jobs/${jobId}/clips/${clipIndex}` } as const;
  throw new FarmError("not-found", `job ${jobId} has no clip ${clipIndex}`, { thing });
}

/** How long a link is good: enough to begin a download, of little use to who finds it later. */
const LINK_SECONDS = 300;

/** @throws FarmError "not-found" */
function findOutput(loop: JobsLoop, request: OutputName): Output {
  const { jobId, clipIndex, fileName } = request;
  const output = outputsOf(loop, jobId, clipIndex).find((o) => o.fileName === fileName);
  if (output) return output;
  const shown = fileName.slice(0, 80);
  const name = `jobs/${jobId}/clips/${clipIndex}/outputs/${shown}`;
  const detail = `clip ${clipIndex} of job ${jobId} has no finished output '${shown}'`;
  throw new FarmError("not-found", detail, { thing: { kind: "output", name } });
}

async function linkTo(
  { loop, blobs }: Pick<JobParts, "loop" | "blobs">,
  { blob, fileName }: Output,
): Promise<wire.GetOutputLinkResponse> {
  if (!blobs.link) {
    const detail =
      "the blob store of this farm gives no links; use DownloadOutput (renderfarm download JOB --out FILE), or give the coordinator an s3:// store and RENDERFARM_S3_SIGNER_ACCESS_KEY and _SECRET_KEY";
    throw new FarmError("wrong-state", detail);
  }
  // Told before it is signed: the store never refuses a link that is still good by its own time.
  const expireTime = new Date(loop.nowMs() + LINK_SECONDS * 1_000);
  return { url: await blobs.link(blob.key, fileName, LINK_SECONDS), expireTime };
}
