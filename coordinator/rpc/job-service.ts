/** @file JobService: what users ask for, checked, and answered from the loop's state. */
import { randomBytes } from "node:crypto";
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import type * as wire from "../../proto/gen/renderfarm/v1/job_service.js";
import { decodeCreateJob, encodeDryRun, encodeJob } from "../../shared/adapters/grpc/job-codec.js";
import { toServiceError } from "../../shared/adapters/grpc/status.js";
import { encodeOutput } from "../../shared/adapters/grpc/work-codec.js";
import { FarmError, refusal } from "../../shared/core/errors.js";
import { idFromBytes } from "../../shared/core/ids.js";
import type { JobView } from "../../shared/farm/job.js";
import { isTerminal } from "../../shared/farm/job.js";
import { stepsMade } from "../../shared/farm/parameters.js";
import { resolveParameters } from "../../shared/farm/validate-request.js";
import type { ModelInfo, Output } from "../../shared/farm/work.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";
import { planDryRun } from "../plan/dry-run.js";
import { OPEN_JOBS_MAX, OPEN_TASKS_MAX } from "../plan/limits.js";
import type { Node } from "../plan/node.js";
import { tasksPerClip } from "../plan/task-graph.js";
import type { FarmLoop } from "../shell/farm-loop.js";
import type { Janitor } from "../shell/janitor.js";
import { findBranch } from "./branch.js";
import { drainNode, undrainNode, viewFarm } from "./farm-verbs.js";
import { checkInputKey, newInputKey, sendBlob, storeInput, written } from "./inputs.js";
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
  readonly janitor: Janitor;
}

/**
 * The handlers of JobService; every error leaves as a gRPC status with its details.
 *
 * The farm in memory is ahead of the journal while an append is under way. So every answer, also one
 * that only looks, waits until the journal has what it says: a crash takes back nothing that was told.
 */
export function jobServiceHandlers(parts: JobServiceParts): wire.JobServiceServer {
  const { loop, blobs, janitor } = parts;
  const unary = <Q, A>(handle: (request: Q) => Promise<A>) => {
    return (call: ServerUnaryCall<Q, A>, callback: sendUnaryData<A>): void => {
      const result = Promise.resolve().then(() => handle(call.request));
      answer(
        result.finally(() => loop.settled()),
        callback,
      );
    };
  };
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
      const found = await janitor.collect({ dryRun });
      return { blobs: BigInt(found.blobs), bytes: BigInt(found.bytes) };
    }),
    listOutputs: unary(async ({ jobId, clipIndex }) => ({
      outputs: outputsOf(loop, jobId, clipIndex).map(encodeOutput),
    })),
    watchJob: (call) =>
      streaming(call, async () => {
        try {
          watchJob(loop, call);
        } finally {
          await loop.settled();
        }
      }),
    uploadInput: (call, callback) => answer(storeInput(blobs, call), callback),
    downloadOutput: (call) => streaming(call, () => downloadOutput(parts, call)),
  };
}

async function createJob(
  { loop, blobs, janitor }: JobServiceParts,
  request: wire.CreateJobRequest,
): Promise<wire.CreateJobResponse> {
  const { images, parameters: raw, modelDigest, requestId, options } = decodeCreateJob(request);
  const accepted = (jobId: string) => ({ job: encodeJob(findJob(loop, jobId)), dryRun: undefined });
  const known = loop.farm.jobIdByRequestId.get(requestId);
  if (requestId !== "" && known !== undefined) return accepted(known);
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
  const taskCount = images.length * parameters.numVideosPerPrompt * tasksPerClip(parameters);
  refuseFull(loop, taskCount);
  refuseUnknownJobs(loop, options.dependsOn);
  const kept = options.branch
    ? findBranch(loop.farm, options.branch, { parameters, modelDigest: model.digest, images })
    : null;
  const stepsTotal = stepsMade(parameters, model);
  if (request.validateOnly) {
    const { digest: modelDigest } = model;
    const wanted = { modelDigest, parameters, stepsTotal, imageCount: images.length, options };
    const dryRun = planDryRun(loop.farm, wanted, loop.nowMs());
    return { job: undefined, dryRun: encodeDryRun(dryRun, parameters) };
  }
  const jobId = idFromBytes(randomBytes(16));
  const inputs = [...images, ...(parameters.latents ? [parameters.latents] : [])];
  const branchKey = newInputKey();
  const release = janitor.claim([branchKey, ...inputs.map(({ key }) => key)]);
  try {
    await checkInputs(blobs, images, parameters.latents);
    // The other job may be swept or deleted while this one waits.
    const branchLatents = kept && (await blobs.put(branchKey, blobs.read(kept.blob)));
    await loop.dispatch({
      kind: "job-created",
      job: {
        ...{ jobId, parameters, images, requestId, branchLatents },
        modelDigest: model.digest,
        modelName: model.name,
        stepsTotal,
        ...options,
      },
    });
  } finally {
    release();
  }
  // Another call with the same request id may have come first.
  return accepted(loop.farm.jobIdByRequestId.get(requestId) ?? jobId);
}

/** @throws FarmError "exhausted" with what there is, and the most that the farm takes */
function refuseFull({ farm }: FarmLoop, taskCount: number): void {
  const { openJobCount, openTaskCount } = farm;
  if (openJobCount >= OPEN_JOBS_MAX) {
    const detail = `the farm has ${openJobCount} jobs that have not ended, the most it takes`;
    throw new FarmError("exhausted", `${detail}; try again later`);
  }
  if (openTaskCount + taskCount > OPEN_TASKS_MAX) {
    const detail =
      `the farm's jobs have ${openTaskCount} tasks and this one would add ${taskCount}; the farm ` +
      `takes ${OPEN_TASKS_MAX} (3 a clip, and one for each decode chunk)`;
    throw new FarmError("exhausted", `${detail}; send fewer clips, or try again later`);
  }
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
  let newest: JobView | null = null;
  let sending = false;
  const take = (job: JobView) => {
    newest = job;
    if (!sending) void sendNewest();
  };
  const sendNewest = async () => {
    sending = true;
    for (let job = newest; job !== null && !call.cancelled; job = newest) {
      newest = null;
      await written(call, { job: encodeJob(job) });
      if (isTerminal(job.state)) finish();
    }
    sending = false;
  };
  const { jobId } = call.request;
  findJob(loop, jobId);
  const unwatch = loop.watch(jobId, take);
  const finish = () => {
    unwatch();
    call.end();
  };
  call.on("cancelled", unwatch);
}

/** @throws FarmError "not-found" */
function outputsOf(loop: FarmLoop, jobId: string, clipIndex: number): readonly Output[] {
  findJob(loop, jobId);
  const clip = loop.farm.jobs.get(jobId)?.clips[clipIndex];
  if (clip) return clip.outputs;
  throw new FarmError("not-found", `job ${jobId} has no clip ${clipIndex}`);
}

async function downloadOutput(
  { loop, blobs }: JobServiceParts,
  call: ServerWritableStream<wire.DownloadOutputRequest, wire.DownloadOutputResponse>,
): Promise<void> {
  const { jobId, clipIndex, fileName } = call.request;
  const output = outputsOf(loop, jobId, clipIndex).find((o) => o.fileName === fileName);
  await loop.settled();
  if (!output) {
    throw new FarmError(
      "not-found",
      `clip ${clipIndex} of job ${jobId} has no finished output '${fileName.slice(0, 80)}'`,
    );
  }
  await sendBlob(blobs, output.blob, call);
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
