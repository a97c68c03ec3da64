/** @file What the shell of a denoise task works with. */
import type { FarmError } from "../../shared/core/errors.js";
import type { TaskReport } from "../../shared/farm/work.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import type { Clock } from "../../shared/ports/clock.js";
import type { FrameHeader, TensorBus } from "../../shared/ports/tensor-bus.js";
import type { ComputeType } from "../../shared/tensor/tensor.js";
import type { CheckpointConfigs } from "../model/configs/components-fit.js";
import type { Runtime } from "../runtime/runtime.js";
import type { DropReason } from "./denoise-state.js";
import type { DenoiseObserver } from "./node-observer.js";

export interface DenoiseParts {
  readonly runtime: Runtime;
  readonly blobs: BlobStore;
  readonly bus: TensorBus;
  readonly clock: Clock;
  readonly configs: Pick<CheckpointConfigs, "scheduler">;
  /** What the UNet computes in: halves are sent in it. */
  readonly dtype: ComputeType;
  /** Of this node's runtime; becomes a part of what both replicas of a pair must agree on. */
  readonly planHash: string;
  /**
   * Whether the coordinator counts on this node; asked before anything is acted on, since a process
   * that was stopped for long wakes to whatever comes first.
   */
  readonly holdsLease: () => boolean;
  readonly report: (epoch: number, report: TaskReport) => void;
  /** Hears of every sound frame that was not used. */
  readonly onFrameDropped: (reason: DropReason | "clip" | "shape") => void;
  /** Hears of latents that the store did not take; the task goes on. */
  readonly onSaveFailed: (reason: FarmError) => void;
  /** Hears that the task waits for the blob store; absent: nobody does. */
  readonly onStoreAway?: (reason: FarmError) => void;
  /** Shows what the clip looks like after `step` steps, a webp. */
  readonly onPreview: (epoch: number, step: number, image: Uint8Array) => void;
  /** Looks on; absent: nobody does. */
  readonly observer?: DenoiseObserver;
  /** W3C Trace Context of the task's own span, for the partner; null: it is not traced. */
  readonly traceparent?: string | null;
}

/** A frame of the partner. */
export interface Frame {
  readonly header: FrameHeader;
  readonly payload: Uint8Array;
}
