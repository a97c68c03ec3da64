/** @file JobService: what users ask for, checked, and answered from the loop's state. */
import { randomBytes } from "node:crypto";
import type {
  Metadata,
  sendUnaryData,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
} from "@grpc/grpc-js";
import type * as wire from "../../proto/gen/renderfarm/v1/job_service.js";
import { decodeCreateJob, encodeDryRun, encodeJob } from "../../shared/adapters/grpc/job-codec.js";
import { toServiceError } from "../../shared/adapters/grpc/status.js";
import { FarmError, refusal } from "../../shared/core/errors.js";
import { idFromBytes } from "../../shared/core/ids.js";
import type { JobView } from "../../shared/farm/job.js";
import { isTerminal } from "../../shared/farm/job.js";
import { resolveParameters } from "../../shared/farm/validate-request.js";
import type { ModelInfo } from "../../shared/farm/work.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";
import { type Caller, ownerSeenBy, senderOf } from "../access/caller.js";
import type { Quotas } from "../access/quotas.js";
import { planDryRun } from "../plan/dry-run.js";
import { OPEN_JOBS_MAX } from "../plan/limits.js";
import type { Node } from "../plan/node.js";
import type { FarmLoop } from "../shell/farm-loop.js";
import { collectGarbage } from "../shell/janitor.js";
import { findBranch } from "./branch.js";
import type { CallerOf } from "./guard.js";
import { type JobsLoop, loopSeenBy } from "./owned-loop.js";
import { openJobsOf, optionsOf, scopedRequestId } from "./sender.js";
import { drainNode, undrainNode, viewFarm } from "./farm-verbs.js";
import { checkInputKey, newInputKey, sendBlob, storeInput } from "./inputs.js";
import {
  cancelJob,
  deleteJob,
  findJob,
  listJobs,
  pauseJob,
  refuseUnknownJobs,
  resumeJob,
  retryJob,
  setPriority,
} from "./job-verbs.js";

export interface JobServiceParts {
  readonly loop: FarmLoop;
  readonly blobs: BlobStore;
  readonly callerOf: CallerOf;
  /** Null on a farm without keys. */
  readonly quotas: Quotas | null;
}

/** The handlers of JobService; every error leaves as a gRPC status with its details. */
export function jobServiceHandlers(parts: JobServiceParts): wire.JobServiceServer {
  const { loop, blobs } = parts;
  /** The farm as the caller may see it. */
  const seenBy = ({ metadata }: { readonly metadata: Metadata }) =>
    loopSeenBy(loop, ownerSeenBy(parts.callerOf(metadata)));
  return {
    createJob: unary((request, call) => createJob(parts, request, parts.callerOf(call.metadata))),
    getJob: unary(async ({ jobId }, call) => ({ job: encodeJob(findJob(seenBy(call), jobId)) })),
    cancelJob: unary(async ({ jobId }, call) => ({
      job: encodeJob(await cancelJob(seenBy(call), jobId)),
    })),
    listJobs: unary(async (request, call) => listJobs(seenBy(call), request)),
    pauseJob: unary(async ({ jobId }, call) => ({
      job: encodeJob(await pauseJob(seenBy(call), jobId)),
    })),
    resumeJob: unary(async ({ jobId }, call) => ({
      job: encodeJob(await resumeJob(seenBy(call), jobId)),
    })),
    retryJob: unary(async (request, call) => ({
      job: encodeJob(await retryJob(seenBy(call), request)),
    })),
    setJobPriority: unary(async (request, call) => ({
      job: encodeJob(await setPriority(seenBy(call), request)),
    })),
    deleteJob: unary(async ({ jobId }, call) => deleteJob(seenBy(call), jobId)),
    drainNode: unary(async ({ nodeId }) => ({ node: await drainNode(loop, nodeId) })),
    undrainNode: unary(async ({ nodeId }) => ({ node: await undrainNode(loop, nodeId) })),
    getFarm: unary(async () => viewFarm(loop)),
    collectGarbage: unary(async ({ dryRun }) => {
      const found = await collectGarbage(blobs, loop.farm, { dryRun, nowMs: loop.nowMs() });
      return { blobs: BigInt(found.blobs), bytes: BigInt(found.bytes) };
    }),
    watchJob: (call) => streaming(call, async () => watchJob(seenBy(call), call)),
    uploadInput: (call, callback) => answer(uploadInput(parts, call), callback),
    downloadOutput: (call) => streaming(call, () => downloadOutput(blobs, seenBy(call), call)),
  };
}

async function uploadInput(
  { blobs, callerOf, quotas }: JobServiceParts,
  call: ServerReadableStream<wire.UploadInputRequest, wire.UploadInputResponse>,
): Promise<wire.UploadInputResponse> {
  const owner = senderOf(callerOf(call.metadata));
  return storeInput(blobs, call, {
    owner,
    admit: (bytes) => {
      if (owner !== null) quotas?.takeInputBytes(owner, bytes);
    },
  });
}

async function createJob(
  { loop, blobs, quotas }: JobServiceParts,
  request: wire.CreateJobRequest,
  caller: Caller,
): Promise<wire.CreateJobResponse> {
  const sender = senderOf(caller);
  if (sender !== null) quotas?.takeSubmit(sender);
  const decoded = decodeCreateJob(request);
  const { images, parameters: raw, modelDigest } = decoded;
  const options = optionsOf(decoded.options, request.options?.owner ?? "", sender);
  const requestId = scopedRequestId(decoded.requestId, sender);
  const seen = loopSeenBy(loop, ownerSeenBy(caller));
  const accepted = (jobId: string) => ({ job: encodeJob(findJob(loop, jobId)), dryRun: undefined });
  const known = loop.farm.jobIdByRequestId.get(requestId);
  if (requestId !== "" && known !== undefined) {
    await loop.settled();
    return accepted(known);
  }
  refuseFull(loop);
  if (sender !== null) quotas?.refuseFull(sender, openJobsOf(loop, sender));
  const nodes = [...loop.farm.nodes.values()];
  const model = chooseModel(nodes, modelDigest);
  const resolved = resolveParameters(raw, {
    model,
    imageCount: images.length,
    drawnSeed: randomBytes(6).readUIntBE(0, 6),
    hasFfmpeg: nodes.some((node) => node.info.hasFfmpeg),
  });
  if (!("parameters" in resolved)) throw refusal(resolved.violations);
  const { parameters } = resolved;
  refuseUnknownJobs(seen, options.dependsOn);
  const kept = options.branch
    ? findBranch(seen.farm, options.branch, { parameters, modelDigest: model.digest, images })
    : null;
  if (request.validateOnly) {
    const wanted = { modelDigest: model.digest, parameters, imageCount: images.length, options };
    const dryRun = planDryRun(loop.farm, wanted, loop.nowMs());
    return { job: undefined, dryRun: encodeDryRun(dryRun, parameters) };
  }
  await checkInputs(blobs, [...images, parameters.latents], ownerSeenBy(caller));
  const jobId = idFromBytes(randomBytes(16));
  // The other job may be swept or deleted while this one waits.
  const branchLatents = kept && (await blobs.put(newInputKey(sender), blobs.read(kept.blob)));
  await loop.dispatch({
    kind: "job-created",
    job: {
      ...{ jobId, parameters, images, requestId, branchLatents },
      modelDigest: model.digest,
      modelName: model.name,
      ...options,
    },
  });
  // Another call with the same request id may have come first.
  return accepted(loop.farm.jobIdByRequestId.get(requestId) ?? jobId);
}

function refuseFull(loop: FarmLoop): void {
  if (loop.farm.openJobCount < OPEN_JOBS_MAX) return;
  throw new FarmError(
    "exhausted",
    `the farm has ${OPEN_JOBS_MAX} jobs that have not ended, the most it takes; try again later`,
  );
}

/** Reading an input through is the only way to know that it is there and whole. */
async function checkInputs(
  blobs: BlobStore,
  refs: readonly (BlobRef | null)[],
  owner: string | null,
): Promise<void> {
  const isLatents = (i: number) => i === refs.length - 1;
  for (const [i, ref] of refs.entries()) {
    if (ref === null) continue;
    checkInputKey(ref, isLatents(i) ? "latents" : `images[${i}]`, owner);
    for await (const _piece of blobs.read(ref));
  }
}

/** The checkpoint asked for, or the only one that the connected nodes serve. */
function chooseModel(nodes: readonly Node[], digest: string): ModelInfo {
  const models = new Map(nodes.map(({ info }) => [info.model.digest, info.model]));
  if (models.size === 0) {
    throw new FarmError(
      "unreachable",
      "no node is connected, so no checkpoint is known; try again",
    );
  }
  const chosen = digest === "" && models.size === 1 ? [...models.values()][0] : models.get(digest);
  if (chosen) return chosen;
  const served = [...models.values()].map((m) => `${m.name} (${m.digest})`).join(", ");
  const description =
    digest === ""
      ? `the farm serves several checkpoints, choose one: ${served}`
      : `'${digest.slice(0, 64)}' is served by no connected node; served are ${served}`;
  const violations = [{ field: "model_digest", description }];
  throw new FarmError("invalid-argument", `model_digest: ${description}`, { violations });
}

/** State now and after every change; a client that reads slowly gets the newest state, not all. */
function watchJob(
  loop: JobsLoop,
  call: ServerWritableStream<wire.WatchJobRequest, wire.WatchJobResponse>,
): void {
  const { jobId } = call.request;
  let waiting: JobView | null = null;
  let full = false;
  const send = (job: JobView) => {
    if (full) {
      waiting = job;
      return;
    }
    full = !call.write({ job: encodeJob(job) });
    if (isTerminal(job.state)) finish();
  };
  const unwatch = loop.watch(jobId, send);
  const finish = () => {
    unwatch();
    call.end();
  };
  call.on("drain", () => {
    full = false;
    const newest = waiting;
    waiting = null;
    if (newest) send(newest);
  });
  call.on("cancelled", unwatch);
  try {
    send(findJob(loop, jobId));
  } catch (error) {
    unwatch();
    throw error;
  }
}

async function downloadOutput(
  blobs: BlobStore,
  loop: JobsLoop,
  call: ServerWritableStream<wire.DownloadOutputRequest, wire.DownloadOutputResponse>,
): Promise<void> {
  const { jobId, clipIndex, fileName } = call.request;
  const clip = findJob(loop, jobId).clips[clipIndex];
  const output = clip?.outputs.find((o) => o.fileName === fileName);
  if (!output) {
    throw new FarmError(
      "not-found",
      `clip ${clipIndex} of job ${jobId} has no finished output '${fileName.slice(0, 80)}'`,
    );
  }
  await sendBlob(blobs, output.blob, call);
}

function unary<Q, A>(handle: (request: Q, call: ServerUnaryCall<Q, A>) => Promise<A>) {
  return (call: ServerUnaryCall<Q, A>, callback: sendUnaryData<A>): void => {
    answer(
      Promise.resolve().then(() => handle(call.request, call)),
      callback,
    );
  };
}

function answer<A>(result: Promise<A>, callback: sendUnaryData<A>): void {
  result.then(
    (value) => callback(null, value),
    (error: unknown) => callback(toServiceError(error)),
  );
}

/** Runs the handler of a server stream; what it throws ends the stream with a status. */
function streaming<Q, A>(call: ServerWritableStream<Q, A>, handle: () => Promise<void>): void {
  handle().catch((error: unknown) => call.emit("error", toServiceError(error)));
}
