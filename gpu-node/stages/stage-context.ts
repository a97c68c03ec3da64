/** @file What every stage is given besides its work. */
import { FarmError } from "../../shared/core/errors.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import type { CheckpointConfigs } from "../model/configs/components-fit.js";
import type { Runtime } from "../runtime/runtime.js";

export interface StageContext {
  readonly runtime: Runtime;
  readonly blobs: BlobStore;
  /** Of the checkpoint that the runtime has open. */
  readonly configs: CheckpointConfigs;
  /** Stops the stage between two pieces of work; it then throws FarmError "cancelled". */
  readonly signal: AbortSignal;
  /** To be waited for once no run is needed any more: the accelerator is free. Absent: nobody cares. */
  readonly onComputed?: () => Promise<void>;
}

/** What a stage has computed, to be put into the store under this key. */
export interface Made {
  readonly key: string;
  readonly bytes: Uint8Array;
}

/** @throws FarmError "cancelled" once the signal is aborted */
export function refuseAborted(signal: AbortSignal): void {
  if (!signal.aborted) return;
  const reason: unknown = signal.reason;
  if (reason instanceof FarmError) throw reason;
  throw new FarmError("cancelled", "the task was stopped", { cause: reason });
}
