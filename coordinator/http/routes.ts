/** @file Every path of the HTTP edge: the google.api.http shapes, and what only browsers need. */
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  CancelJobRequest,
  CreateJobRequest,
  DeleteJobRequest,
  DrainNodeRequest,
  GetFarmRequest,
  GetJobRequest,
  ListJobsRequest,
  PauseJobRequest,
  ResumeJobRequest,
  RetryJobRequest,
  SetJobPriorityRequest,
  UndrainNodeRequest,
} from "../../proto/gen/renderfarm/v1/job_service.js";
import { encodeBlobRef } from "../../shared/adapters/grpc/blob-codec.js";
import { FarmError } from "../../shared/core/errors.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";
import type { Ask, Caller, JobApi } from "../rpc/job-api.js";
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
  readonly path: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
}

export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** `{name}` stands for one segment, without the `:verb` at its end. */
  readonly path: string;
  readonly handle: (exchange: Exchange) => Promise<void>;
}

export function farmRoutes(parts: RouteParts): readonly Route[] {
  const { api } = parts;
  const job = "/v1/jobs/{jobId}";
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
    get("/v1/events", async (exchange) => followFarm(parts, exchange)),
    get(`${job}/events`, (exchange) => followJob(parts, exchange)),
    get(`${job}/inputs`, (exchange) => listInputs(parts, exchange)),
    get(`${job}/inputs/{index}`, (exchange) => sendInput(parts, exchange)),
    get(`${job}/clips/{clipIndex}/outputs/{fileName}`, (exchange) => sendOutput(parts, exchange)),
    get("/v1/timeline", async (exchange) => sendTimeline(parts, exchange)),
    { method: "POST", path: "/v1/inputs", handle: (exchange) => takeInput(parts, exchange) },
  ];
}

const get = (path: string, handle: Route["handle"]): Route => ({ method: "GET", path, handle });

/** Requests that come as JSON, by the names that their schemas have. */
const REQUESTS = {
  CancelJobRequest,
  CreateJobRequest,
  DeleteJobRequest,
  DrainNodeRequest,
  GetFarmRequest,
  GetJobRequest,
  ListJobsRequest,
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
    method,
    path,
    handle: async ({ request, response, caller, path: given, query }) => {
      const fields = await readRequest(request, { message, path: given, query });
      sendJson(response, toProtoJson(await call(type.fromPartial(fields), caller)));
    },
  };
}

async function takeInput({ api }: RouteParts, { request, response, caller }: Exchange) {
  const pieces = request as AsyncIterable<Uint8Array>;
  sendJson(response, toProtoJson(await api.uploadInput(pieces, caller)));
}

function lastIdOf({ request, query }: Exchange): string | null {
  const header = request.headers["last-event-id"];
  return (Array.isArray(header) ? header[0] : header) ?? query.get("lastEventId");
}

async function followJob(parts: RouteParts, exchange: Exchange): Promise<void> {
  const { jobId = "" } = exchange.path;
  await parts.api.getJob({ jobId }, exchange.caller);
  const { loop, feed } = parts;
  parts.stream(exchange.response, jobEvents(jobId, { loop, feed, lastId: lastIdOf(exchange) }));
}

async function followFarm(parts: RouteParts, exchange: Exchange): Promise<void> {
  const { loop, feed } = parts;
  await parts.api.getFarm({}, exchange.caller);
  parts.stream(exchange.response, farmEvents({ loop, feed, lastId: lastIdOf(exchange) }));
}

async function listInputs({ api }: RouteParts, { path, response, caller }: Exchange) {
  const images = await api.inputsOf({ jobId: path["jobId"] ?? "" }, caller);
  sendJson(response, { images: images.map((ref) => toProtoJson(encodeBlobRef(ref))) });
}

async function sendInput(
  { api, blobs }: RouteParts,
  { path, request, response, caller }: Exchange,
) {
  const { jobId = "", index = "" } = path;
  const images = await api.inputsOf({ jobId }, caller);
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

async function sendOutput({ api }: RouteParts, { path, request, response, caller }: Exchange) {
  const { jobId = "", clipIndex = "", fileName = "" } = path;
  const isIndex = /^\d{1,6}$/.test(clipIndex);
  const wanted = { jobId, clipIndex: isIndex ? Number(clipIndex) : -1, fileName };
  const { output, read } = await api.openOutput(wanted, caller);
  const { size, sha256 } = output.blob;
  const contentType = contentTypeOf(output.fileName);
  await sendBlob(request, response, { size, sha256, contentType, fileName, read });
}

/** Who worked on what lately; times as elsewhere in the API. */
async function sendTimeline({ api, loop, timeline }: RouteParts, { response, caller }: Exchange) {
  await api.getFarm({}, caller);
  const time = (ms: number) => new Date(ms).toISOString();
  const intervals = timeline.intervals().map(({ startMs, endMs, ...rest }) => ({
    ...rest,
    startTime: time(startMs),
    endTime: endMs === null ? null : time(endMs),
  }));
  sendJson(response, { time: time(loop.nowMs()), intervals });
}
