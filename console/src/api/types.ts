/** @file What the HTTP gateway sends: the messages of the API as proto3 JSON writes them. */
import type { BlobRef } from "../../../proto/gen/renderfarm/v1/blob.js";
import type {
  Clip,
  ClipOverrides,
  Guidance,
  Job,
  RenderParameters,
} from "../../../proto/gen/renderfarm/v1/job.js";
import type {
  DryRun,
  FarmNode,
  GetFarmResponse,
  ListJobsResponse,
} from "../../../proto/gen/renderfarm/v1/job_service.js";
import type { ModelInfo } from "../../../proto/gen/renderfarm/v1/model.js";
import type { DenoiseTime } from "../../../proto/gen/renderfarm/v1/work.js";

/** 64-bit integers, times and bytes are texts in JSON. */
type Json<T> = T extends bigint | Date | Uint8Array
  ? string
  : T extends readonly (infer U)[]
    ? readonly Json<U>[]
    : T extends object
      ? { readonly [K in keyof T]: Json<T[K]> }
      : T;

export type BlobRefJson = Json<BlobRef>;
export type ClipJson = Json<Clip>;
export type ClipOverridesJson = Json<ClipOverrides>;
export type GuidanceJson = Json<Guidance>;
export type JobJson = Json<Job>;
export type ParametersJson = Json<RenderParameters>;
export type DryRunJson = Json<DryRun>;
export type NodeJson = Json<FarmNode>;
export type FarmJson = Json<GetFarmResponse>;
export type JobPageJson = Json<ListJobsResponse>;
export type ModelJson = Json<ModelInfo>;
export type DenoiseTimeJson = Json<DenoiseTime>;

/** Who worked on a task and when; see coordinator/shell/timeline.ts. */
export interface IntervalJson {
  readonly nodeId: string;
  readonly taskId: string;
  readonly jobId: string;
  readonly clipIndex: number;
  readonly stage: "condition" | "denoise" | "decode" | "mux";
  readonly chunkIndex: number;
  readonly half: "cond" | "uncond" | null;
  readonly startTime: string;
  readonly endTime: string | null;
  readonly end: string | null;
  readonly secondsPerStep: number;
  /** denoise: what the node's time went into up to its last step; null before the first. */
  readonly spent: DenoiseTimeJson | null;
}

export interface TimelineJson {
  readonly time: string;
  readonly intervals: readonly IntervalJson[];
}

/** A wrong field of a request, as google.rpc.BadRequest names it. */
export interface ViolationJson {
  readonly field: string;
  readonly description: string;
}
