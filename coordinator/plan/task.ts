/**
 * @file The machine of one task: one stage of one clip, or one decode chunk of it.
 *
 * Only a report that carries the epoch of the current grant, from a member of that grant, has an
 * effect. Everything else is stale: counted, never acted on.
 */
import type { FarmErrorCode } from "../../shared/core/errors.js";
import { FarmError } from "../../shared/core/errors.js";
import type { GuidanceHalf, Stage, TaskResult } from "../../shared/farm/work.js";
import { FAILED_NODES_MAX, FAILURES_MAX } from "./limits.js";

/** A node's part in a grant; `half` is set in a pair only. */
export interface Member {
  readonly nodeId: string;
  readonly half: GuidanceHalf | null;
}

export interface TaskFailure {
  readonly code: FarmErrorCode;
  readonly detail: string;
}

export type TaskState =
  /** Waits for the results of other tasks. Set when the job is created. */
  | { readonly kind: "blocked" }
  /** Could start now. Set by a finished predecessor, a lost node or a failure that may be retried. */
  | { readonly kind: "ready" }
  /** Being worked on by its members. Set by the scheduler's grant. */
  | { readonly kind: "granted"; readonly members: readonly Member[] }
  /** Ended well. Set by a member's report. */
  | { readonly kind: "done"; readonly result: TaskResult }
  /** Ended for good without a result. Set by a failure that may not be retried. */
  | { readonly kind: "failed"; readonly failure: TaskFailure }
  /** Its owner cancelled the job, or another task of the clip failed for good. */
  | { readonly kind: "cancelled" };

export interface Task {
  readonly taskId: string;
  readonly jobId: string;
  readonly clipIndex: number;
  readonly stage: Stage;
  /** decode: index of the chunk; else 0. */
  readonly chunkIndex: number;
  readonly state: TaskState;
  /** Fencing number of the last grant, 0 before the first. Never falls. */
  readonly epoch: number;
  /** Grants so far; a survivor that goes on alone is no new grant. */
  readonly attempts: number;
  /** Nodes whose work on this task failed or which were lost with it, one entry a failure. */
  readonly failedNodeIds: readonly string[];
  /** Every node that was granted it, in order, each once. */
  readonly workedNodeIds: readonly string[];
  /** The plans it was granted under, e.g. ["pair", "single"]. */
  readonly plans: readonly ("single" | "pair")[];
  readonly firstGrantMs: number | null;
  readonly endMs: number | null;
}

export type TaskEvent =
  | { readonly kind: "unblocked" }
  | { readonly kind: "granted"; readonly members: readonly Member[]; readonly atMs: number }
  | {
      readonly kind: "finished";
      readonly nodeId: string;
      readonly epoch: number;
      readonly result: TaskResult;
      readonly atMs: number;
    }
  | {
      readonly kind: "failed";
      readonly nodeId: string;
      readonly epoch: number;
      readonly failure: TaskFailure;
      readonly atMs: number;
    }
  /** A member's partner is lost; the member holds the latents and waits. */
  | { readonly kind: "pair-broken"; readonly nodeId: string; readonly epoch: number }
  | { readonly kind: "node-lost"; readonly nodeId: string; readonly atMs: number }
  | { readonly kind: "cancelled"; readonly atMs: number };

/** What the node of an effect has to be told; `epoch` is the grant that the node knows. */
export type TaskEffect =
  | { readonly kind: "cancel"; readonly nodeId: string; readonly epoch: number }
  | {
      readonly kind: "continue-alone";
      readonly nodeId: string;
      readonly epoch: number;
      readonly newEpoch: number;
    }
  | { readonly kind: "count"; readonly metric: TaskMetric };

export type TaskMetric = "task_reports_stale_total" | "task_retries_total" | "pairs_broken_total";

type Step = readonly [next: Task, effects: readonly TaskEffect[]];

const stale = (task: Task): Step => [task, [{ kind: "count", metric: "task_reports_stale_total" }]];

/** Pure: no clock, no I/O. */
export function reduceTask(task: Task, event: TaskEvent): Step {
  switch (event.kind) {
    case "unblocked":
      return task.state.kind === "blocked"
        ? [{ ...task, state: { kind: "ready" } }, []]
        : stale(task);
    case "granted":
      return task.state.kind === "ready" ? grant(task, event) : stale(task);
    case "finished":
      return isCurrent(task, event) ? finish(task, event) : stale(task);
    case "failed":
      return isCurrent(task, event) ? fail(task, event) : stale(task);
    case "pair-broken":
      return isCurrent(task, event) ? breakPair(task, event.nodeId) : stale(task);
    case "node-lost":
      return loseNode(task, event);
    case "cancelled":
      return cancel(task, event.atMs);
  }
}

/** Whether a task can never change again. */
export function isEnded(task: Task): boolean {
  return ["done", "failed", "cancelled"].includes(task.state.kind);
}

/** The members of the current grant; [] when nobody works on it. */
export function membersOf(task: Task): readonly Member[] {
  return task.state.kind === "granted" ? task.state.members : [];
}

function isCurrent(task: Task, report: { nodeId: string; epoch: number }): boolean {
  return (
    report.epoch === task.epoch && membersOf(task).some((member) => member.nodeId === report.nodeId)
  );
}

function grant(task: Task, event: Extract<TaskEvent, { kind: "granted" }>): Step {
  const joined = event.members.map((member) => member.nodeId);
  return [
    {
      ...task,
      state: { kind: "granted", members: event.members },
      epoch: task.epoch + 1,
      attempts: task.attempts + 1,
      workedNodeIds: [...new Set([...task.workedNodeIds, ...joined])],
      plans: [...task.plans, event.members.length === 2 ? "pair" : "single"],
      firstGrantMs: task.firstGrantMs ?? event.atMs,
    },
    [],
  ];
}

/** The first member that finishes wins; in a pair both hold the same bytes, so the other one stops. */
function finish(task: Task, event: Extract<TaskEvent, { kind: "finished" }>): Step {
  const done: Task = { ...task, state: { kind: "done", result: event.result }, endMs: event.atMs };
  return [done, cancelOthers(task, event.nodeId)];
}

function fail(task: Task, event: Extract<TaskEvent, { kind: "failed" }>): Step {
  const others = cancelOthers(task, event.nodeId);
  const [next, effects] = retryOrFail(task, event.nodeId, event.failure, event.atMs);
  return [next, [...others, ...effects]];
}

/** Goes back to ready unless a retry cannot help or was tried often enough. */
function retryOrFail(task: Task, nodeId: string, failure: TaskFailure, atMs: number): Step {
  const failedNodeIds = [...task.failedNodeIds, nodeId];
  const hopeless =
    new FarmError(failure.code, failure.detail).retry === "never" ||
    new Set(failedNodeIds).size >= FAILED_NODES_MAX ||
    failedNodeIds.length >= FAILURES_MAX;
  if (hopeless) {
    return [{ ...task, failedNodeIds, state: { kind: "failed", failure }, endMs: atMs }, []];
  }
  const retried: Task = { ...task, failedNodeIds, state: { kind: "ready" } };
  return [retried, [{ kind: "count", metric: "task_retries_total" }]];
}

/** One member goes on alone under a new epoch, from the step whose latents it holds. */
function breakPair(task: Task, survivorId: string): Step {
  if (membersOf(task).length !== 2) return stale(task);
  const newEpoch = task.epoch + 1;
  return [
    {
      ...task,
      state: { kind: "granted", members: [{ nodeId: survivorId, half: null }] },
      epoch: newEpoch,
      plans: [...task.plans, "single"],
    },
    [
      { kind: "count", metric: "pairs_broken_total" },
      ...cancelOthers(task, survivorId),
      { kind: "continue-alone", nodeId: survivorId, epoch: task.epoch, newEpoch },
    ],
  ];
}

function loseNode(task: Task, event: Extract<TaskEvent, { kind: "node-lost" }>): Step {
  const members = membersOf(task);
  if (!members.some((member) => member.nodeId === event.nodeId)) return [task, []];
  const survivor = members.find((member) => member.nodeId !== event.nodeId);
  if (survivor) {
    const [next, effects] = breakPair(task, survivor.nodeId);
    // The lost node cannot be told anything.
    return [next, effects.filter((e) => e.kind !== "cancel" || e.nodeId !== event.nodeId)];
  }
  const failure: TaskFailure = {
    code: "unreachable",
    detail: `node ${event.nodeId} was lost while it worked on ${task.taskId}`,
  };
  return retryOrFail(task, event.nodeId, failure, event.atMs);
}

function cancel(task: Task, atMs: number): Step {
  if (isEnded(task)) return [task, []];
  return [{ ...task, state: { kind: "cancelled" }, endMs: atMs }, cancelOthers(task, null)];
}

function cancelOthers(task: Task, keptNodeId: string | null): TaskEffect[] {
  return membersOf(task)
    .filter((member) => member.nodeId !== keptNodeId)
    .map((member) => ({ kind: "cancel", nodeId: member.nodeId, epoch: task.epoch }));
}
