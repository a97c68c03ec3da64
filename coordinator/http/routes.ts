/** @file Every path of the HTTP edge: the google.api.http shapes, and what only browsers need. */
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  CancelJobRequest,
  CreateJobRequest,
  DeleteJobRequest,
  DrainNodeRequest,
  GetFarmRequest,
  GetJobRequest,
  GetOutputLinkRequest,
  ListJobEventsRequest,
  ListJobsRequest,
  ListOutputsRequest,
  PauseJobRequest,
  ResumeJobRequest,
  RetryJobRequest,
  SetJobPriorityRequest,
  UndrainNodeRequest,
} from "../../proto/gen/renderfarm/v1/job_service.js";
import { encodeBlobRef } from "../../shared/adapters/grpc/blob-codec.js";
import { FarmError } from "../../shared/core/errors.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";
import { type Caller, ownerSeenBy } from "../access/caller.js";
import type { CallContext } from "../rpc/call-context.js";
import type { Ask, JobApi } from "../rpc/job-api.js";
import { loopSeenBy } from "../rpc/owned-loop.js";
import type { FarmFeed } from "../shell/farm-feed.js";
import type { FarmLoop } from "../shell/farm-loop.js";
import type { Timeline } from "../shell/timeline.js";
import { sendJson } from "./answers.js";
import { contentTypeOf, pictureTypeOf } from "./content-types.js";
import type { EventSource } from "./event-stream.js";
import { farmEvents, jobEvents } from "./job-events.js";
import { toProtoJson } from "./proto-json.js";
import { readRequest } from "./request-body.js";
import { sendBlob } from "./send-blob.js";

export interface RouteParts {
  readonly api: JobApi;
  readonly loop: FarmLoop;
  readonly blobs: BlobStore;
  readonly feed: FarmFeed;
  readonly timeline: Timeline;
  /** Takes over an answer and streams events on it. */
  readonly stream: (response: ServerResponse, source: EventSource) => void;
}

/** One request on its way through a route. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly caller: Caller;
  readonly context: CallContext;
  readonly path: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
}

export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** `{name}` stands for one segment, without the `:verb` at its end. */
  readonly path: string;
  /** The call of JobService whose right it needs. */
  readonly rpc: string;
  /** It may last: cut when the caller's key is no longer good. */
  readonly isStream: boolean;
  /** @returns id of what it was about */
  readonly handle: (exchange: Exchange) => Promise<string>;
}

export function farmRoutes(parts: RouteParts): readonly Route[] {
  const { api } = parts;
  const job = "/v1/jobs/{jobId}";
  const outputs = `${job}/clips/{clipIndex}/outputs`;
  return [
    ask("POST", "/v1/jobs", "CreateJobRequest", api.createJob),
    ask("GET", "/v1/jobs", "ListJobsRequest", api.listJobs),
    ask("GET", job, "GetJobRequest", api.getJob),
    ask("DELETE", job, "DeleteJobRequest", api.deleteJob),
    ask("POST", `${job}:cancel`, "CancelJobRequest", api.cancelJob),
    ask("POST", `${job}:pause`, "PauseJobRequest", api.pauseJob),
    ask("POST", `${job}:resume`, "ResumeJobRequest", api.resumeJob),
    ask("POST", `${job}:retry`, "RetryJobRequest", api.retryJob),
    ask("POST", `${job}:setPriority`, "SetJobPriorityRequest", api.setJobPriority),
    ask("GET", "/v1/farm", "GetFarmRequest", api.getFarm),
    ask("POST", "/v1/nodes/{nodeId}:drain", "DrainNodeRequest", api.drainNode),
    ask("POST", "/v1/nodes/{nodeId}:undrain", "UndrainNodeRequest", api.undrainNode),
    ask("GET", `${job}/log`, "ListJobEventsRequest", api.listJobEvents),
    ask("GET", outputs, "ListOutputsRequest", api.listOutputs),
    ask("GET", `${outputs}/{fileName}:link`, "GetOutputLinkRequest", api.getOutputLink),
    look("/v1/events", "GetFarm", (exchange) => followFarm(parts, exchange)),
    look(`${job}/events`, "WatchJob", (exchange) => followJob(parts, exchange)),
    look(`${job}/inputs`, "GetJob", (exchange) => listInputs(parts, exchange)),
    look(`${job}/inputs/{index}`, "DownloadOutput", (exchange) => sendInput(parts, exchange)),
    look(`${outputs}/{fileName}`, "DownloadOutput", (exchange) => sendOutput(parts, exchange)),
    look("/v1/timeline", "GetFarm", (exchange) => sendTimeline(parts, exchange)),
    {
      ...{ method: "POST", path: "/v1/inputs", rpc: "UploadInput", isStream: true },
      handle: (exchange) => takeInput(parts, exchange),
    },
  ];
}

/** A GET that is no single call of the API. */
function look(path: string, rpc: string, handle: (exchange: Exchange) => Promise<void>): Route {
  return {
    ...{ method: "GET", path, rpc, isStream: true },
    handle: async (exchange) => {
      await handle(exchange);
      return exchange.path["jobId"] ?? "";
    },
  };
}

/** Requests that come as JSON, by the names that their schemas have. */
const REQUESTS = {
  CancelJobRequest,
  CreateJobRequest,
  DeleteJobRequest,
  DrainNodeRequest,
  GetFarmRequest,
  GetJobRequest,
  GetOutputLinkRequest,
  ListJobEventsRequest,
  ListJobsRequest,
  ListOutputsRequest,
  PauseJobRequest,
  ResumeJobRequest,
  RetryJobRequest,
  SetJobPriorityRequest,
  UndrainNodeRequest,
};

/** A route that is one call of the API, its fields in path, query and body. */
function ask<Q, A>(
  method: Route["method"],
  path: string,
  message: keyof typeof REQUESTS,
  call: Ask<Q, A>,
): Route {
  const type = REQUESTS[message] as unknown as { fromPartial(fields: object): Q };
  return {
    ...{ method, path, rpc: message.replace(/Request$/, ""), isStream: false },
    handle: async ({ request, response, caller, context, path: given, query }) => {
      const fields = await readRequest(request, { message, path: given, query });
      const answer = await call(type.fromPartial(fields), caller, context);
      sendJson(response, toProtoJson(answer));
      const { job } = answer as { job?: { jobId: string } };
      return given["jobId"] ?? given["nodeId"] ?? job?.jobId ?? "";
    },
  };
}

async function takeInput({ api }: RouteParts, { request, response, caller, context }: Exchange) {
  const answer = await api.uploadInput(request as AsyncIterable<Uint8Array>, caller, context);
  sendJson(response, toProtoJson(answer));
  return answer.blob?.key ?? "";
}

function lastIdOf({ request, query }: Exchange): string | null {
  const header = request.headers["last-event-id"];
  return (Array.isArray(header) ? header[0] : header) ?? query.get("lastEventId");
}

async function followJob(parts: RouteParts, exchange: Exchange): Promise<void> {
  const { jobId = "" } = exchange.path;
  await parts.api.getJob({ jobId }, exchange.caller, exchange.context);
  const { loop, feed } = parts;
  parts.stream(exchange.response, jobEvents(jobId, { loop, feed, lastId: lastIdOf(exchange) }));
}

async function followFarm(parts: RouteParts, exchange: Exchange): Promise<void> {
  const { loop, feed } = parts;
  const owner = ownerSeenBy(exchange.caller);
  const events = farmEvents(owner, { loop, feed, lastId: lastIdOf(exchange) });
  parts.stream(exchange.response, events);
}

async function listInputs({ api }: RouteParts, { path, response, caller, context }: Exchange) {
  const images = await api.inputsOf({ jobId: path["jobId"] ?? "" }, caller, context);
  sendJson(response, { images: images.map((ref) => toProtoJson(encodeBlobRef(ref))) });
}

async function sendInput(
  { api, blobs }: RouteParts,
  { path, request, response, caller, context }: Exchange,
) {
  const { jobId = "", index = "" } = path;
  const images = await api.inputsOf({ jobId }, caller, context);
  const ref = /^\d{1,6}$/.test(index) ? images[Number(index)] : undefined;
  if (!ref) throw new FarmError("not-found", `job ${jobId} has no picture ${index.slice(0, 20)}`);
  const contentType = pictureTypeOf(await headOf(blobs, ref));
  const { size, sha256 } = ref;
  const file = { size, sha256, contentType, fileName: `picture-${index}` };
  await sendBlob(request, response, { ...file, read: () => blobs.read(ref) });
}

async function headOf(blobs: BlobStore, ref: BlobRef): Promise<Uint8Array> {
  for await (const piece of blobs.read(ref)) return piece;
  return new Uint8Array();
}

async function sendOutput(
  { api }: RouteParts,
  { path, request, response, caller, context }: Exchange,
) {
  const { jobId = "", clipIndex = "", fileName = "" } = path;
  const isIndex = /^\d{1,6}$/.test(clipIndex);
  const wanted = { jobId, clipIndex: isIndex ? Number(clipIndex) : -1, fileName };
  const { output, read } = await api.openOutput(wanted, caller, context);
  const { size, sha256 } = output.blob;
  const contentType = contentTypeOf(output.fileName);
  await sendBlob(request, response, { size, sha256, contentType, fileName, read });
}

/** Who worked on what lately; of other owners' jobs only that there was work. */
async function sendTimeline({ loop, timeline }: RouteParts, { response, caller }: Exchange) {
  const { jobs } = loopSeenBy(loop, ownerSeenBy(caller)).farm;
  const time = (ms: number) => new Date(ms).toISOString();
  const hidden = { taskId: "", jobId: "", clipIndex: 0 };
  const isEveryones = ownerSeenBy(caller) === null;
  const intervals = timeline.intervals().map(({ startMs, endMs, ...rest }) => ({
    ...rest,
    ...(isEveryones || jobs.has(rest.jobId) ? {} : hidden),
    startTime: time(startMs),
    endTime: endMs === null ? null : time(endMs),
  }));
  await loop.settled();
  sendJson(response, { time: time(loop.nowMs()), intervals });
}
