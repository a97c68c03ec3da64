/** @file What must be equal on two nodes for their halves of a step to be the same bytes. */
import { createHash } from "node:crypto";

export interface RuntimeIdentity {
  /** Hex sha256 over the checkpoint's files. */
  readonly modelDigest: string;
  /** Version of onnxruntime. */
  readonly ortVersion: string;
  /** Execution provider, e.g. "cpu". */
  readonly provider: string;
  /** What computes, e.g. the processor's model name: kernels differ from one to the next. */
  readonly device: string;
  /** Type of the graphs' values, e.g. "float32". */
  readonly dtype: string;
}

/** Hex sha256; nodes with different hashes are never paired. */
export function runtimePlanHash(identity: RuntimeIdentity): string {
  const { modelDigest, ortVersion, provider, device, dtype } = identity;
  const fields = JSON.stringify([modelDigest, ortVersion, provider, device, dtype]);
  return createHash("sha256").update(fields).digest("hex");
}
