/**
 * @file A client of JobService in promises and async iterables; the only file of clients that knows
 * wire types. Every call can be aborted: it then throws FarmError "cancelled".
 */
import { createHash } from "node:crypto";
import { type ClientReadableStream, Metadata } from "@grpc/grpc-js";
import type { Job as WireJob } from "../proto/gen/renderfarm/v1/job.js";
import {
  type CollectGarbageResponse,
  type CreateJobResponse,
  type DeleteJobResponse,
  type DrainNodeResponse,
  type GetFarmResponse,
  type GetOutputLinkResponse,
  JobServiceClient,
  type ListJobEventsResponse,
  type ListJobsResponse,
  type ListOutputsResponse,
  type UndrainNodeResponse,
  type UploadInputResponse,
} from "../proto/gen/renderfarm/v1/job_service.js";
import { decodeBlobRef } from "../shared/adapters/grpc/blob-codec.js";
import { clientOptions, targetOf } from "../shared/adapters/grpc/connection-options.js";
import { decodeDryRun } from "../shared/adapters/grpc/dry-run-codec.js";
import {
  decodeJob,
  encodeCreateJob,
  encodeState,
  encodeTime,
  type NewJobRequest,
} from "../shared/adapters/grpc/job-codec.js";
import { decodeJobEvent } from "../shared/adapters/grpc/job-log-codec.js";
import type { RequestedParameters } from "../shared/adapters/grpc/parameters-codec.js";
import { decodeOutput } from "../shared/adapters/grpc/work-codec.js";
import { insecureChannel } from "../shared/adapters/tls/grpc-credentials.js";
import { FarmError } from "../shared/core/errors.js";
import {
  type ClipPreview,
  type ClipView,
  type DryRunView,
  isTerminal,
  type JobState,
  type JobView,
} from "../shared/farm/job.js";
import type { JobLogEntry } from "../shared/farm/job-log.js";
import type { JobParameters } from "../shared/farm/parameters.js";
import type { Output } from "../shared/farm/work.js";
import type { BlobRef } from "../shared/ports/blob-store.js";
import {
  deadlineIn,
  sendPieces,
  streamCall,
  type UnaryCall,
  unaryCall,
} from "./abortable-calls.js";
import { Absence } from "./absence.js";
import { callFailure } from "./call-failure.js";
import { callTeller, type EndedCall } from "./call-teller.js";
import { channelFor, type Entry } from "./entry.js";
import { type FarmView, type NodeView, viewFarm, viewNode } from "./farm-view.js";
import { resumedPieces } from "./resumed-pieces.js";

/** A call that takes longer has failed; none of them waits for rendering. */
const CALL_MS_MAX = 30_000;
/** An upload or download: 256 MiB at 1 MiB a second. */
const TRANSFER_MS_MAX = 300_000;

/** A link to a finished file. */
export interface OutputLink {
  readonly url: string;
  /** Milliseconds since 1970; from then on the store refuses it. */
  readonly expiresAtMs: number;
}

/** One connection to a coordinator; every method throws FarmError and nothing else. */
export class FarmClient {
  readonly address: string;
  readonly #stub: JobServiceClient;

  /**
   * @param address host:port, or of each coordinator that may lead, with commas between; the
   *   connection is made with the first call
   * @param entry null: a farm on this machine, which asks for nothing
   * @param onCall hears of every call when it has ended
   * @throws FarmError "invalid-argument" when a certificate or key cannot be used
   */
  constructor(
    address: string,
    entry: Entry | null = null,
    onCall: ((call: EndedCall) => void) | null = null,
  ) {
    this.address = address;
    const channel = entry ? channelFor(address, entry) : insecureChannel();
    this.#stub = new JobServiceClient(targetOf(address), channel.credentials, {
      ...clientOptions,
      ...channel.options,
      ...(onCall && { interceptors: [callTeller(onCall)] }),
    });
  }

  close(): void {
    this.#stub.close();
  }

  async getFarm(signal?: AbortSignal): Promise<FarmView> {
    const farm = await this.#unary<GetFarmResponse>(
      (done, options) => this.#stub.getFarm({}, new Metadata(), options, done),
      signal,
    );
    return viewFarm(farm);
  }

  /** Stores a picture or a latents file for a later `createJob`. */
  async upload(bytes: Uint8Array, signal?: AbortSignal): Promise<BlobRef> {
    const { blob } = await this.#unary<UploadInputResponse>((done) => {
      const call = this.#stub.uploadInput(deadlineIn(TRANSFER_MS_MAX), done);
      call.on("error", () => {}); // the callback hears of it, too
      void sendPieces(call, bytes);
      return call;
    }, signal);
    return decodeBlobRef(blob, "blob");
  }

  /**
   * @param request parameters that it leaves out take the farm's defaults
   * @param traceparent W3C Trace Context of the caller's span, under which the job's will stand
   */
  async createJob(
    request: NewJobRequest<RequestedParameters>,
    signal?: AbortSignal,
    traceparent?: string,
  ): Promise<JobView> {
    const message = encodeCreateJob(request);
    const metadata = new Metadata();
    if (traceparent !== undefined) metadata.set("traceparent", traceparent);
    return this.#job(
      (done, options) => this.#stub.createJob(message, metadata, options, done),
      signal,
    );
  }

  /** Checks a job and tells what would become of it; nothing is submitted. */
  async dryRun(
    request: NewJobRequest<RequestedParameters>,
    signal?: AbortSignal,
  ): Promise<{ readonly view: DryRunView; readonly parameters: JobParameters }> {
    const message = { ...encodeCreateJob(request), validateOnly: true };
    const { dryRun } = await this.#unary<CreateJobResponse>(
      (done, options) => this.#stub.createJob(message, new Metadata(), options, done),
      signal,
    );
    return decodeDryRun(dryRun);
  }

  getJob(jobId: string, signal?: AbortSignal): Promise<JobView> {
    return this.#job(
      (done, options) => this.#stub.getJob({ jobId }, new Metadata(), options, done),
      signal,
    );
  }

  /** What became of a job, the oldest first. */
  async jobLog(jobId: string, signal?: AbortSignal): Promise<JobLogEntry[]> {
    const { events } = await this.#unary<ListJobEventsResponse>(
      (done, options) => this.#stub.listJobEvents({ jobId }, new Metadata(), options, done),
      signal,
    );
    return events.map((event, i) => decodeJobEvent(event, `events[${i}]`));
  }

  /** The finished files of a clip, also where the job does not name them. */
  async outputsOf(jobId: string, clip: ClipView, signal?: AbortSignal): Promise<readonly Output[]> {
    if (clip.outputs.length === clip.outputCount) return clip.outputs;
    const { outputs } = await this.#unary<ListOutputsResponse>(
      (done, options) =>
        this.#stub.listOutputs({ jobId, clipIndex: clip.index }, new Metadata(), options, done),
      signal,
    );
    return outputs.map((output, i) => decodeOutput(output, `outputs[${i}]`));
  }

  cancelJob(jobId: string, signal?: AbortSignal): Promise<JobView> {
    return this.#job(
      (done, options) => this.#stub.cancelJob({ jobId }, new Metadata(), options, done),
      signal,
    );
  }

  /** A page of jobs, the newest first. */
  async listJobs(
    page: {
      readonly size?: number;
      readonly token?: string;
      readonly states?: readonly JobState[];
      /** "shot=12a,team": jobs with all of these labels. */
      readonly labelSelector?: string;
    } = {},
    signal?: AbortSignal,
  ): Promise<{ readonly jobs: readonly JobView[]; readonly nextToken: string }> {
    const request = {
      pageSize: page.size ?? 0,
      pageToken: page.token ?? "",
      states: (page.states ?? []).map(encodeState),
      labelSelector: page.labelSelector ?? "",
    };
    const answer = await this.#unary<ListJobsResponse>(
      (done, options) => this.#stub.listJobs(request, new Metadata(), options, done),
      signal,
    );
    const jobs = answer.jobs.map((job, i) => decodeJob(job, `jobs[${i}]`));
    return { jobs, nextToken: answer.nextPageToken };
  }

  /** Starts nothing new of a job; what is denoised stops at its next step and is kept. */
  pauseJob(jobId: string, signal?: AbortSignal): Promise<JobView> {
    return this.#job(
      (done, options) => this.#stub.pauseJob({ jobId }, new Metadata(), options, done),
      signal,
    );
  }

  resumeJob(jobId: string, signal?: AbortSignal): Promise<JobView> {
    return this.#job(
      (done, options) => this.#stub.resumeJob({ jobId }, new Metadata(), options, done),
      signal,
    );
  }

  /** Does again what failed or was cancelled: of the job, of a clip, or one decode chunk. */
  retryJob(
    jobId: string,
    what: {
      readonly clipIndex?: number | undefined;
      readonly chunkIndex?: number | undefined;
      /** From now on, milliseconds since 1970; absent: as it was, and none where it has passed. */
      readonly deadlineMs?: number | undefined;
    } = {},
  ): Promise<JobView> {
    const { clipIndex, chunkIndex, deadlineMs = null } = what;
    const request = { jobId, clipIndex, chunkIndex, deadlineTime: encodeTime(deadlineMs) };
    return this.#job((done, options) =>
      this.#stub.retryJob(request, new Metadata(), options, done),
    );
  }

  /** @param priority 0..100, higher goes first */
  setJobPriority(jobId: string, priority: number): Promise<JobView> {
    return this.#job((done, options) =>
      this.#stub.setJobPriority({ jobId, priority }, new Metadata(), options, done),
    );
  }

  /** Forgets a job that has ended, with its files. */
  async deleteJob(jobId: string): Promise<void> {
    await this.#unary<DeleteJobResponse>((done, options) =>
      this.#stub.deleteJob({ jobId }, new Metadata(), options, done),
    );
  }

  /** No new work for a node; what it denoises goes on elsewhere from the next step. */
  async drainNode(nodeId: string): Promise<NodeView> {
    const { node } = await this.#unary<DrainNodeResponse>((done, options) =>
      this.#stub.drainNode({ nodeId }, new Metadata(), options, done),
    );
    return viewNode(node);
  }

  async undrainNode(nodeId: string): Promise<NodeView> {
    const { node } = await this.#unary<UndrainNodeResponse>((done, options) =>
      this.#stub.undrainNode({ nodeId }, new Metadata(), options, done),
    );
    return viewNode(node);
  }

  /** Blobs that no job owns: removed, or only counted. */
  async collectGarbage(
    dryRun: boolean,
  ): Promise<{ readonly blobs: number; readonly bytes: number }> {
    const found = await this.#unary<CollectGarbageResponse>((done, options) =>
      this.#stub.collectGarbage({ dryRun }, new Metadata(), options, done),
    );
    return { blobs: Number(found.blobs), bytes: Number(found.bytes) };
  }

  /**
   * The job now and after every change; ends after the state that ended it. A coordinator that is
   * away is dialled again.
   *
   * @param onPreview hears what clips look like on their way, where the job asks for it
   *
   * @throws FarmError "cancelled" when the signal aborts, "unreachable" after 30 s without answer
   */
  async *watchJob(
    jobId: string,
    signal?: AbortSignal,
    onPreview?: (preview: ClipPreview) => void,
  ): AsyncGenerator<JobView> {
    const absence = new Absence();
    for (;;) {
      try {
        const call = this.#stub.watchJob({ jobId });
        for await (const { job, previews } of this.#stream(call, signal)) {
          absence.isOver();
          if (onPreview) for (const preview of previews) onPreview(preview);
          const view = decodeJob(job);
          yield view;
          if (isTerminal(view.state)) return;
        }
      } catch (error) {
        absence.endures(error);
      }
      // A stream that ended before its job did is a coordinator that stops.
      await absence.pause(signal);
    }
  }

  /**
   * The bytes of a finished output. A connection that breaks is dialled again, and the rest is asked for;
   * so is what a slow line could not bring in one call.
   *
   * @throws FarmError "blob-corrupt" at the end, when they are not what the output names; "unreachable"
   *   after 30 s without answer
   */
  async *download(
    jobId: string,
    clipIndex: number,
    { fileName, blob }: Output,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const hash = createHash("sha256");
    const from = (offset: bigint) => {
      const request = { jobId, clipIndex, fileName, offset };
      return this.#stream(this.#stub.downloadOutput(request, deadlineIn(TRANSFER_MS_MAX)), signal);
    };
    for await (const piece of resumedPieces(from, signal)) {
      hash.update(piece);
      yield piece;
    }
    const sha256 = hash.digest("hex");
    if (sha256 !== blob.sha256) {
      throw new FarmError(
        "blob-corrupt",
        `${fileName} of clip ${clipIndex} came with sha256 ${sha256} instead of ${blob.sha256}`,
      );
    }
  }

  /**
   * A URL that reads a finished output from the farm's store, for whoever has it, for some minutes.
   *
   * @throws FarmError "wrong-state" where the farm's store gives no links; `download` always works
   */
  async outputLink(
    jobId: string,
    clipIndex: number,
    fileName: string,
    signal?: AbortSignal,
  ): Promise<OutputLink> {
    const request = { jobId, clipIndex, fileName };
    const { url, expireTime } = await this.#unary<GetOutputLinkResponse>(
      (done, options) => this.#stub.getOutputLink(request, new Metadata(), options, done),
      signal,
    );
    return { url, expiresAtMs: expireTime?.getTime() ?? 0 };
  }

  /** A call whose answer is a job. */
  async #job(
    call: UnaryCall<{ job?: WireJob | undefined }>,
    signal?: AbortSignal,
  ): Promise<JobView> {
    return decodeJob((await this.#unary(call, signal)).job);
  }

  #unary<A>(start: UnaryCall<A>, signal?: AbortSignal): Promise<A> {
    return unaryCall(start, deadlineIn(CALL_MS_MAX), signal).catch((error: unknown) => {
      throw callFailure(error, this.address);
    });
  }

  async *#stream<A>(call: ClientReadableStream<A>, signal?: AbortSignal): AsyncGenerator<A> {
    try {
      yield* streamCall(call, signal);
    } catch (error) {
      throw callFailure(error, this.address);
    }
  }
}
