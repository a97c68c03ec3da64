/** @file What the failures of a task mean for its next try. Pure. */
import type { FarmErrorCode } from "../../shared/core/errors.js";
import { FAILED_NODES_MAX, FAILURES_MAX, NUMERICAL_FAILURES_MAX } from "./limits.js";

/** Where a task that ran out of memory may be tried again. */
export type MemoryVerdict =
  /** Such work fits into as much memory: the node is at fault. */
  | { readonly retryOn: "any-node" }
  | { readonly retryOn: "bigger-node"; readonly aboveBytes: number }
  /** Nowhere; `detail` names the node, its memory and what helps. */
  | { readonly retryOn: "none"; readonly aboveBytes: number; readonly detail: string };

/**
 * Failures after which the latest latents are not gone on from: those that became NaN may have been
 * on their way there for some steps, and those that cannot be read fail every node.
 */
export const DISTRUSTED: ReadonlySet<FarmErrorCode> = new Set([
  "numerical",
  "blob-missing",
  "blob-corrupt",
]);

/** Bytes that a node has to have more than, after a failure; null: any node will do. */
export function memoryWanted(before: number | null, memory: MemoryVerdict | null): number | null {
  return memory === null || memory.retryOn === "any-node" ? before : memory.aboveBytes;
}

/** Whether so many failures are the task's own fault. */
export function isSpent(
  failures: readonly { readonly nodeId: string; readonly code: FarmErrorCode }[],
): boolean {
  // A node without memory enough says nothing of the task; where the job is at fault, it is stopped.
  const blaming = failures.filter(({ code }) => code !== "out-of-memory");
  return (
    new Set(blaming.map((f) => f.nodeId)).size >= FAILED_NODES_MAX ||
    failures.length >= FAILURES_MAX ||
    failures.filter(({ code }) => code === "numerical").length >= NUMERICAL_FAILURES_MAX
  );
}
