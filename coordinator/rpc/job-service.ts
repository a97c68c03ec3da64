/** @file JobService: what users ask for, checked, and answered from the loop's state. */
import { randomBytes } from "node:crypto";
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
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
import { planDryRun } from "../plan/dry-run.js";
import { OPEN_JOBS_MAX } from "../plan/limits.js";
import type { Node } from "../plan/node.js";
import type { FarmLoop } from "../shell/farm-loop.js";
import { collectGarbage } from "../shell/janitor.js";
import { findBranch } from "./branch.js";
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
}

/** The handlers of JobService; every error leaves as a gRPC status with its details. */
export function jobServiceHandlers(parts: JobServiceParts): wire.JobServiceServer {
  const { loop, blobs } = parts;
  return {
    createJob: unary((request) => createJob(parts, request)),
    getJob: unary(async ({ jobId }) => ({ job: encodeJob(findJob(loop, jobId)) })),
    cancelJob: unary(async ({ jobId }) => ({ job: encodeJob(await cancelJob(loop, jobId)) })),
    listJobs: unary(async (request) => listJobs(loop, request)),
    pauseJob: unary(async ({ jobId }) => ({ job: encodeJob(await pauseJob(loop, jobId)) })),
    resumeJob: unary(async ({ jobId }) => ({ job: encodeJob(await resumeJob(loop, jobId)) })),
    retryJob: unary(async (request) => ({ job: encodeJob(await retryJob(loop, request)) })),
    setJobPriority: unary(async (request) => ({
      job: encodeJob(await setPriority(loop, request)),
    })),
    deleteJob: unary(async ({ jobId }) => deleteJob(loop, jobId)),
    drainNode: unary(async ({ nodeId }) => ({ node: await drainNode(loop, nodeId) })),
    undrainNode: unary(async ({ nodeId }) => ({ node: await undrainNode(loop, nodeId) })),
    getFarm: unary(async () => viewFarm(loop)),
    collectGarbage: unary(async ({ dryRun }) => {
      const found = await collectGarbage(blobs, loop.farm, { dryRun, nowMs: loop.nowMs() });
      return { blobs: BigInt(found.blobs), bytes: BigInt(found.bytes) };
    }),
    watchJob: (call) => streaming(call, async () => watchJob(loop, call)),
    uploadInput: (call, callback) => answer(storeInput(blobs, call), callback),
    downloadOutput: (call) => streaming(call, () => downloadOutput(parts, call)),
  };
}

async function createJob(
  { loop, blobs }: JobServiceParts,
  request: wire.CreateJobRequest,
): Promise<wire.CreateJobResponse> {
  const { images, parameters: raw, modelDigest, requestId, options } = decodeCreateJob(request);
  const accepted = (jobId: string) => ({ job: encodeJob(findJob(loop, jobId)), dryRun: undefined });
  const known = loop.farm.jobIdByRequestId.get(requestId);
  if (requestId !== "" && known !== undefined) {
    await loop.settled();
    return accepted(known);
  }
  refuseFull(loop);
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
  refuseUnknownJobs(loop, options.dependsOn);
  const kept = options.branch
    ? findBranch(loop.farm, options.branch, { parameters, modelDigest: model.digest, images })
    : null;
  if (request.validateOnly) {
    const wanted = { modelDigest: model.digest, parameters, imageCount: images.length, options };
    const dryRun = planDryRun(loop.farm, wanted, loop.nowMs());
    return { job: undefined, dryRun: encodeDryRun(dryRun, parameters) };
  }
  await checkInputs(blobs, images, parameters.latents);
  const jobId = idFromBytes(randomBytes(16));
  // The other job may be swept or deleted while this one waits.
  const branchLatents = kept && (await blobs.put(newInputKey(), blobs.read(kept.blob)));
  await loop.dispatch({
    kind: "job-created",
    job: {
      ...{ jobId, parameters, images, requestId, branchLatents },
      modelDigest: model.digest,
      modelName: model.name,
      stepsTotal: stepsMade(parameters, model),
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
  images: readonly BlobRef[],
  latents: BlobRef | null,
): Promise<void> {
  for (const [i, ref] of [...images, ...(latents ? [latents] : [])].entries()) {
    checkInputKey(ref, i < images.length ? `images[${i}]` : "latents");
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
  loop: FarmLoop,
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
  { loop, blobs }: JobServiceParts,
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

function unary<Q, A>(handle: (request: Q) => Promise<A>) {
  return (call: ServerUnaryCall<Q, A>, callback: sendUnaryData<A>): void => {
    answer(
      Promise.resolve().then(() => handle(call.request)),
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
