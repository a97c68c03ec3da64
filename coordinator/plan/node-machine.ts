/** @file What the farm remembers of a node: drained, quarantined, held down. Pure. */
import {
  FAILED_JOBS_OF_NODE_MAX,
  NODE_HOLD_DOWN_MS,
  NODE_LOSSES_MAX,
  NODE_LOSSES_WINDOW_MS,
} from "./limits.js";
import type { NodeRecord } from "./node.js";
import { NEW_NODE_RECORD } from "./node.js";

export type NodeRecordEvent =
  | { readonly kind: "joined"; readonly atMs: number }
  /** Its stream ended or it fell silent, without a word that it would stop. */
  | { readonly kind: "lost"; readonly atMs: number }
  | { readonly kind: "task-done" }
  /** A task failed in a way that may be the node's fault. */
  | { readonly kind: "task-failed"; readonly jobId: string }
  /** The accelerator or its driver is gone: one such failure is enough. */
  | { readonly kind: "device-lost" }
  | { readonly kind: "drained" }
  /** An operator's word that the node is well: forgets everything. */
  | { readonly kind: "undrained" };

export function reduceNodeRecord(record: NodeRecord, event: NodeRecordEvent): NodeRecord {
  switch (event.kind) {
    case "joined":
      return holdDown(record, event.atMs);
    case "lost":
      // More of them would say nothing more.
      return {
        ...record,
        lostAtMs: [...recent(record, event.atMs), event.atMs].slice(-NODE_LOSSES_MAX),
      };
    case "task-done":
      return record.failedJobIds.length === 0 ? record : { ...record, failedJobIds: [] };
    case "task-failed": {
      const failedJobIds = [...new Set([...record.failedJobIds, event.jobId])];
      const quarantined = record.quarantined || failedJobIds.length >= FAILED_JOBS_OF_NODE_MAX;
      return { ...record, failedJobIds, quarantined };
    }
    case "device-lost":
      return { ...record, quarantined: true };
    case "drained":
      return { ...record, draining: true };
    case "undrained":
      return NEW_NODE_RECORD;
  }
}

/** Why a node gets no new work now; null when it may have some. */
export function refusalOf(record: NodeRecord, nowMs: number): string | null {
  if (record.draining) return "draining";
  if (record.quarantined) return "quarantined";
  // A clock that was set back must not hold a node down for longer than it ever is.
  const leftMs = record.heldUntilMs - nowMs;
  return leftMs > 0 && leftMs <= NODE_HOLD_DOWN_MS ? "held down" : null;
}

/** A node that comes and goes would take work down with it each time. */
function holdDown(record: NodeRecord, atMs: number): NodeRecord {
  const lostAtMs = recent(record, atMs);
  const isFlapping = lostAtMs.length >= NODE_LOSSES_MAX;
  return { ...record, lostAtMs, heldUntilMs: isFlapping ? atMs + NODE_HOLD_DOWN_MS : 0 };
}

function recent(record: NodeRecord, atMs: number): readonly number[] {
  return record.lostAtMs.filter((lostMs) => Math.abs(atMs - lostMs) < NODE_LOSSES_WINDOW_MS);
}
