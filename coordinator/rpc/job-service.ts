/** @file JobService: the gRPC edge of what users may ask of the farm. */
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import type * as wire from "../../proto/gen/renderfarm/v1/job_service.js";
import { encodeJob, encodePreview } from "../../shared/adapters/grpc/job-codec.js";
import { toServiceError } from "../../shared/adapters/grpc/status.js";
import { FarmError } from "../../shared/core/errors.js";
import type { JobView } from "../../shared/farm/job.js";
import { type ClipPreview, isTerminal } from "../../shared/farm/job.js";
import type { Caller } from "../access/caller.js";
import { callContextOf } from "./call-context.js";
import type { CallerOf } from "./guard.js";
import { piecesOf, sendPieces, written } from "./inputs.js";
import type { Ask, JobApi } from "./job-api.js";

/**
 * The handlers of JobService; every error leaves as a gRPC status with its details.
 *
 * @param stopping aborts when the coordinator stops: streams that would stay open end then
 */
export function jobServiceHandlers(
  api: JobApi,
  callerOf: CallerOf,
  stopping: AbortSignal,
): wire.JobServiceServer {
  const unary = <Q, A>(ask: Ask<Q, A>) => {
    return (call: ServerUnaryCall<Q, A>, callback: sendUnaryData<A>): void => {
      answer(
        Promise.resolve().then(() =>
          ask(call.request, callerOf(call.metadata), callContextOf(call.metadata)),
        ),
        callback,
      );
    };
  };
  return {
    createJob: unary(api.createJob),
    getJob: unary(api.getJob),
    cancelJob: unary(api.cancelJob),
    listJobs: unary(api.listJobs),
    pauseJob: unary(api.pauseJob),
    resumeJob: unary(api.resumeJob),
    retryJob: unary(api.retryJob),
    setJobPriority: unary(api.setJobPriority),
    deleteJob: unary(api.deleteJob),
    drainNode: unary(api.drainNode),
    undrainNode: unary(api.undrainNode),
    listJobEvents: unary(api.listJobEvents),
    listOutputs: unary(api.listOutputs),
    getOutputLink: unary(api.getOutputLink),
    getFarm: unary(api.getFarm),
    collectGarbage: unary(api.collectGarbage),
    watchJob: (call) =>
      streaming(call, async () => watchJob(api, call, callerOf(call.metadata), stopping)),
    uploadInput: (call, callback) => {
      const { metadata } = call;
      const stored = api.uploadInput(piecesOf(call), callerOf(metadata), callContextOf(metadata));
      answer(stored, callback);
    },
    downloadOutput: (call) =>
      streaming(call, async () => {
        const { request, metadata } = call;
        const { read } = await api.openOutput(request, callerOf(metadata), callContextOf(metadata));
        await sendPieces(read(), call);
      }),
  };
}

/**
 * State now and after every change; a client that reads slowly gets the newest state, not all. When
 * the coordinator stops it is told to ask whoever leads next: a stream that its server closes under
 * it would say no more than that somebody cancelled it.
 */
function watchJob(
  api: JobApi,
  call: ServerWritableStream<wire.WatchJobRequest, wire.WatchJobResponse>,
  caller: Caller,
  stopping: AbortSignal,
): void {
  let newest: JobView | null = null;
  let sending = false;
  let unwatch = () => {};
  let hasEnded = false;
  const told = new Map<number, number>();
  const take = (job: JobView) => {
    newest = job;
    if (!sending) void sendNewest();
  };
  const sendNewest = async () => {
    sending = true;
    for (let job = newest; job !== null && !hasEnded; job = newest) {
      newest = null;
      const previews = untoldPreviews(api.previewsOf(job.jobId), told);
      await written(call, { job: encodeJob(job), previews });
      if (isTerminal(job.state)) finish();
    }
    sending = false;
  };
  const leave = () => {
    hasEnded = true;
    unwatch();
    stopping.removeEventListener("abort", stop);
  };
  const finish = () => {
    leave();
    call.end();
  };
  const stop = () => {
    leave();
    call.emit("error", toServiceError(new FarmError("unreachable", "the coordinator stops")));
  };
  call.on("cancelled", leave);
  unwatch = api.watchJob(call.request, caller, take);
  if (hasEnded) unwatch();
  else stopping.addEventListener("abort", stop);
}

/** Previews in one message; the others come with the next one. */
const PREVIEWS_PER_MESSAGE = 3;

/** @param told the step of each clip that this stream knows; gets those that are told now */
function untoldPreviews(
  previews: readonly ClipPreview[],
  told: Map<number, number>,
): wire.ClipPreview[] {
  const untold = previews.filter(({ clipIndex, step }) => told.get(clipIndex) !== step);
  const now = untold.slice(0, PREVIEWS_PER_MESSAGE);
  for (const { clipIndex, step } of now) told.set(clipIndex, step);
  return now.map(encodePreview);
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
