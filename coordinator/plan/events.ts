/** @file Everything that can happen to the farm, and everything it can ask its shell to do. */
import type { Output, TaskAssignment, TaskResult } from "../../shared/farm/work.js";
import type { NewJob } from "./job.js";
import type { NodeInfo } from "./node.js";
import type { Member, TaskFailure, TaskMetric } from "./task.js";

/** Written to the journal before its effects are carried out; a restart replays them all. */
export type FarmEvent = { readonly atMs: number } & (
  | { readonly kind: "farm-started" }
  | { readonly kind: "node-joined"; readonly node: NodeInfo }
  | { readonly kind: "node-left"; readonly nodeId: string; readonly bootId: string }
  | { readonly kind: "job-created"; readonly job: NewJob }
  | { readonly kind: "job-cancelled"; readonly jobId: string }
  | { readonly kind: "task-granted"; readonly taskId: string; readonly members: readonly Member[] }
  | {
      readonly kind: "task-finished";
      readonly taskId: string;
      readonly nodeId: string;
      readonly epoch: number;
      readonly result: TaskResult;
    }
  | {
      readonly kind: "task-failed";
      readonly taskId: string;
      readonly nodeId: string;
      readonly epoch: number;
      readonly failure: TaskFailure;
    }
  | {
      readonly kind: "pair-broken";
      readonly taskId: string;
      readonly nodeId: string;
      readonly epoch: number;
      readonly step: number;
      readonly reason: string;
    }
  | { readonly kind: "clip-published"; readonly jobId: string; readonly clipIndex: number }
);

/** Idempotent: carrying one out twice changes nothing more. */
export type FarmEffect =
  | { readonly kind: "assign"; readonly nodeId: string; readonly assignment: TaskAssignment }
  | {
      readonly kind: "cancel";
      readonly nodeId: string;
      readonly taskId: string;
      readonly epoch: number;
    }
  | {
      readonly kind: "continue-alone";
      readonly nodeId: string;
      readonly taskId: string;
      readonly epoch: number;
      readonly newEpoch: number;
    }
  /** Writes the manifest of a clip by a conditional put, then reports "clip-published". */
  | {
      readonly kind: "publish";
      readonly jobId: string;
      readonly clipIndex: number;
      readonly outputs: readonly Output[];
    }
  /** Something that watchers of the job can see has changed. */
  | { readonly kind: "job-changed"; readonly jobId: string }
  | { readonly kind: "count"; readonly metric: TaskMetric };
