/** @file One client that watches one job over gRPC. */
import type { ServerWritableStream } from "@grpc/grpc-js";
import type * as wire from "../../proto/gen/renderfarm/v1/job_service.js";
import { encodeJob, encodePreview } from "../../shared/adapters/grpc/job-codec.js";
import { toServiceError } from "../../shared/adapters/grpc/status.js";
import { FarmError } from "../../shared/core/errors.js";
import type { ClipPreview, JobView } from "../../shared/farm/job.js";
import { isTerminal } from "../../shared/farm/job.js";
import type { CancelTimer, Clock } from "../../shared/ports/clock.js";
import type { Caller } from "../access/caller.js";
import { written } from "./inputs.js";
import type { JobApi } from "./job-api.js";

type WatchCall = ServerWritableStream<wire.WatchJobRequest, wire.WatchJobResponse>;

/** Previews in one message; the others come with the next one. */
const PREVIEWS_PER_MESSAGE = 3;
/** A quiet stream tells the state again this often, or proxies would take it for a dead one. */
const REPEAT_MS = 30_000;

/**
 * State now and after every change; a client that reads slowly gets the newest state, not all. When
 * the coordinator stops it is told to ask whoever leads next: a stream that its server closes under
 * it would say no more than that somebody cancelled it.
 */
export class JobWatch {
  readonly #api: JobApi;
  readonly #call: WatchCall;
  readonly #caller: Caller;
  readonly #clock: Clock;
  /** The step of each clip's preview that this stream has told. */
  readonly #told = new Map<number, number>();
  #newest: JobView | null = null;
  #isSending = false;
  #hasEnded = false;
  #unwatch = () => {};
  #cancelRepeat: CancelTimer = () => {};
  #forgetStop = () => {};

  constructor(
    api: JobApi,
    call: WatchCall,
    { caller, clock }: { readonly caller: Caller; readonly clock: Clock },
  ) {
    this.#api = api;
    this.#call = call;
    this.#caller = caller;
    this.#clock = clock;
  }

  /** @throws FarmError "not-found" */
  start(stopping: AbortSignal): void {
    const stop = () => this.#fail(new FarmError("unreachable", "the coordinator stops"));
    stopping.addEventListener("abort", stop);
    this.#forgetStop = () => stopping.removeEventListener("abort", stop);
    this.#call.on("cancelled", () => this.#leave());
    try {
      this.#watch();
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  /** Is told the state as it is now, and every one after it. */
  #watch(): void {
    this.#unwatch();
    this.#unwatch = this.#api.watchJob(this.#call.request, this.#caller, (job) => {
      this.#newest = job;
      if (!this.#isSending) void this.#sendNewest();
    });
    if (this.#hasEnded) this.#unwatch();
  }

  async #sendNewest(): Promise<void> {
    this.#isSending = true;
    this.#cancelRepeat();
    for (let job = this.#newest; job !== null && !this.#hasEnded; job = this.#newest) {
      this.#newest = null;
      await written(this.#call, { job: encodeJob(job), previews: this.#untoldPreviews(job.jobId) });
      if (isTerminal(job.state)) this.#finish();
    }
    this.#isSending = false;
    if (!this.#hasEnded) this.#cancelRepeat = this.#clock.after(REPEAT_MS, () => this.#repeat());
  }

  #repeat(): void {
    try {
      this.#watch();
    } catch (error) {
      this.#fail(error); // the job was deleted meanwhile
    }
  }

  #untoldPreviews(jobId: string): wire.ClipPreview[] {
    const isUntold = ({ clipIndex, step }: ClipPreview) => this.#told.get(clipIndex) !== step;
    const now = this.#api.previewsOf(jobId).filter(isUntold).slice(0, PREVIEWS_PER_MESSAGE);
    for (const { clipIndex, step } of now) this.#told.set(clipIndex, step);
    return now.map(encodePreview);
  }

  #finish(): void {
    if (this.#hasEnded) return;
    this.#leave();
    this.#call.end();
  }

  #fail(error: unknown): void {
    this.#leave();
    this.#call.emit("error", toServiceError(error));
  }

  #leave(): void {
    this.#hasEnded = true;
    this.#unwatch();
    this.#cancelRepeat();
    this.#forgetStop();
  }
}
