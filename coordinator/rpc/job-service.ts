/** @file JobService: the gRPC edge of what users may ask of the farm. */
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import type * as wire from "../../proto/gen/renderfarm/v1/job_service.js";
import { toServiceError } from "../../shared/adapters/grpc/status.js";
import { refuseViolations } from "../../shared/core/errors.js";
import type { Clock } from "../../shared/ports/clock.js";
import { callContextOf } from "./call-context.js";
import type { CallerOf } from "./guard.js";
import { piecesOf, sendPieces } from "./inputs.js";
import type { Ask, JobApi } from "./job-api.js";
import { JobWatch } from "./job-watch.js";
import { sliceOf } from "./slice.js";

interface StreamParts {
  readonly clock: Clock;
  /** Aborts when the coordinator stops: streams that would stay open end then. */
  readonly stopping: AbortSignal;
}

/** The handlers of JobService; every error leaves as a gRPC status with its details. */
export function jobServiceHandlers(
  api: JobApi,
  callerOf: CallerOf,
  { clock, stopping }: StreamParts,
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
      streaming(call, async () => {
        const watch = new JobWatch(api, call, { caller: callerOf(call.metadata), clock });
        watch.start(stopping);
      }),
    uploadInput: (call, callback) => {
      const { metadata } = call;
      const stored = api.uploadInput(piecesOf(call), callerOf(metadata), callContextOf(metadata));
      answer(stored, callback);
    },
    downloadOutput: (call) =>
      streaming(call, async () => {
        const { request, metadata } = call;
        const found = await api.openOutput(request, callerOf(metadata), callContextOf(metadata));
        const offset = checkOffset(request.offset, found.output.blob.size);
        await sendPieces(sliceOf(found.read(), offset), call);
      }),
  };
}

/** @throws FarmError "invalid-argument" beyond the end of the file */
function checkOffset(offset: bigint, size: number): number {
  if (offset > BigInt(size)) {
    const description = `${offset} is beyond the end of the file, which has ${size} bytes`;
    refuseViolations([{ field: "offset", description }]);
  }
  return Number(offset);
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
