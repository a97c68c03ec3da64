/** @file Everything that can happen to the farm, and everything it can ask its shell to do. */
import type { Output, StepCheckpoint, TaskAssignment, TaskResult } from "../../shared/farm/work.js";
import type { NewJob } from "./job.js";
import type { NodeInfo } from "./node.js";
import type { Member, TaskFailure, TaskMetric } from "./task.js";

/** Written to the journal before its effects are carried out; a restart replays them all. */
export type FarmEvent = { readonly atMs: number } & (
  | { readonly kind: "farm-started" }
  | { readonly kind: "node-joined"; readonly node: NodeInfo }
  /** `stopped`: it said so before; otherwise it was lost. */
  | {
      readonly kind: "node-left";
      readonly nodeId: string;
      readonly bootId: string;
      readonly stopped: boolean;
    }
  /** It said that it will stop; what it denoises goes on elsewhere from the next step. */
  | { readonly kind: "node-stopping"; readonly nodeId: string }
  /** No new work for it; what it denoises goes on elsewhere from the next step. */
  | { readonly kind: "node-drained"; readonly nodeId: string }
  /** An operator's word that it may work again, whatever happened before. */
  | { readonly kind: "node-undrained"; readonly nodeId: string }
  | { readonly kind: "job-created"; readonly job: NewJob }
  /** The time of its start has come. */
  | { readonly kind: "job-due"; readonly jobId: string }
  /** Its owner may have it worked on now. */
  | { readonly kind: "job-admitted"; readonly jobId: string }
  | { readonly kind: "job-paused"; readonly jobId: string }
  | { readonly kind: "job-resumed"; readonly jobId: string }
  | { readonly kind: "job-prioritized"; readonly jobId: string; readonly priority: number }
  | { readonly kind: "job-cancelled"; readonly jobId: string }
  /** Its deadline has passed. */
  | { readonly kind: "job-expired"; readonly jobId: string }
  | {
      readonly kind: "job-retried";
      readonly jobId: string;
      readonly what: RetryScope;
      /** From now on, milliseconds since 1970; absent: as it was, and none where it has passed. */
      readonly deadlineMs?: number | undefined;
    }
  /** Its intermediate results are needed no more. */
  | { readonly kind: "job-swept"; readonly jobId: string }
  | { readonly kind: "job-deleted"; readonly jobId: string }
  | { readonly kind: "task-granted"; readonly taskId: string; readonly members: readonly Member[] }
  | { readonly kind: "task-asked-to-yield"; readonly taskId: string }
  /** It has waited for a bigger node for as long as it may, and there is none. */
  | { readonly kind: "task-given-up"; readonly taskId: string }
  | TaskReported
  /** The manifest of this run of the clip is in the store. */
  | {
      readonly kind: "clip-published";
      readonly jobId: string;
      readonly clipIndex: number;
      readonly run: number;
    }
);

/** A member's word on a task, fenced by the epoch of its grant. */
export type TaskReported = {
  readonly taskId: string;
  readonly nodeId: string;
  readonly epoch: number;
} & (
  | { readonly kind: "task-finished"; readonly result: TaskResult }
  | {
      readonly kind: "task-failed";
      readonly failure: TaskFailure;
      /** The blob that it could not read, where that is the failure; else absent. */
      readonly blobKey?: string | undefined;
    }
  | { readonly kind: "task-checkpointed"; readonly checkpoint: StepCheckpoint }
  /** All is computed and the result is on its way to the store: the accelerator is free. */
  | { readonly kind: "task-ending" }
  | { readonly kind: "task-yielded"; readonly checkpoint: StepCheckpoint | null }
  | { readonly kind: "pair-broken"; readonly step: number; readonly reason: string }
);

/** What is to be done again: what failed of a job or clip, or one chunk of a clip whatever it was. */
export type RetryScope =
  | { readonly kind: "job" }
  | { readonly kind: "clip"; readonly clipIndex: number }
  | { readonly kind: "chunk"; readonly clipIndex: number; readonly chunkIndex: number };

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
      readonly kind: "yield";
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
      readonly run: number;
      readonly outputs: readonly Output[];
    }
  /** What the job's tasks left in the store is needed no more; `outputs` too when it was deleted. */
  | { readonly kind: "sweep"; readonly jobId: string; readonly outputs: boolean }
  /** Something that watchers of the job can see has changed. */
  | { readonly kind: "job-changed"; readonly jobId: string }
  | { readonly kind: "count"; readonly metric: TaskMetric };
