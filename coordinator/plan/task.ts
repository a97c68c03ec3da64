/**
 * @file The machine of one task: one stage of one clip, or one decode chunk of it.
 *
 * Only a report that carries the epoch of the current grant, from a member of that grant, has an
 * effect. Everything else is stale: counted, never acted on.
 */
import type { FarmErrorCode } from "../../shared/core/errors.js";
import { FarmError } from "../../shared/core/errors.js";
import type { GuidanceHalf, Stage, StepCheckpoint, TaskResult } from "../../shared/farm/work.js";
import { charge, secondsBetween } from "./task-account.js";
import { keepCheckpoint, originOf } from "./task-checkpoint.js";
import { heldUntilMs, leaveAccelerator } from "./task-ending.js";
import { DISTRUSTED, isSpent, type MemoryVerdict, memoryWanted } from "./task-failures.js";

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
  /** Waits for the results of other tasks. Set when the job is created, by a retry, or when one is lost. */
  | { readonly kind: "blocked" }
  /** Could start now. Set by a finished predecessor, a lost node, a yield or a failure with a retry. */
  | { readonly kind: "ready" }
  /** Being worked on by its members. Set by the scheduler's grant. */
  | {
      readonly kind: "granted";
      readonly members: readonly Member[];
      readonly sinceMs: number;
      /** Its members were asked to give it back at the next step. */
      readonly yielding: boolean;
      /** Members that have computed all and only store it, and since when; their accelerators are free. */
      readonly ending: readonly { readonly nodeId: string; readonly sinceMs: number }[];
    }
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
  /** Failures and losses that count against it; drain, pause and preemption do not. */
  readonly failures: readonly { readonly nodeId: string; readonly code: FarmErrorCode }[];
  /** It ran out of memory on a node with so many bytes: only bigger ones may try; null: any. */
  readonly memoryAboveBytes: number | null;
  /** Every node that was granted it, in order, each once. */
  readonly workedNodeIds: readonly string[];
  /** The plans it was granted under, e.g. ["pair", "single"]. */
  readonly plans: readonly ("single" | "pair")[];
  /** denoise: the latents that a branched clip begins with; null: the noise. */
  readonly origin: StepCheckpoint | null;
  /** denoise: the latest latents in the store, from which any node can go on. */
  readonly checkpoint: (StepCheckpoint & { readonly atMs: number }) | null;
  /** denoise: every step whose latents were stored, the latest last; another clip may branch there. */
  readonly kept: readonly StepCheckpoint[];
  readonly firstGrantMs: number | null;
  readonly endMs: number | null;
}

export type TaskEvent = { readonly atMs: number } & (
  | { readonly kind: "unblocked" }
  | { readonly kind: "granted"; readonly members: readonly Member[] }
  | {
      readonly kind: "finished";
      readonly nodeId: string;
      readonly epoch: number;
      readonly result: TaskResult;
    }
  | {
      readonly kind: "failed";
      readonly nodeId: string;
      readonly epoch: number;
      readonly failure: TaskFailure;
      /** Set when it ran out of memory. */
      readonly memory: MemoryVerdict | null;
    }
  /** Latents of a step are in the store; work goes on. */
  | {
      readonly kind: "checkpointed";
      readonly nodeId: string;
      readonly epoch: number;
      readonly checkpoint: StepCheckpoint;
    }
  /** A member has computed all; its result is on its way to the store. */
  | { readonly kind: "ending"; readonly nodeId: string; readonly epoch: number }
  /** The scheduler wants the nodes for something else, or the job is paused, or a node drains. */
  | { readonly kind: "asked-to-yield" }
  /** A member gave the task back at a step boundary; null: before its first step. */
  | {
      readonly kind: "yielded";
      readonly nodeId: string;
      readonly epoch: number;
      readonly checkpoint: StepCheckpoint | null;
    }
  /** A member's partner is lost; the member holds the latents and waits. */
  | { readonly kind: "pair-broken"; readonly nodeId: string; readonly epoch: number }
  /** `isFault`: not when the coordinator restarts, nor when the node had said that it stops. */
  | { readonly kind: "node-lost"; readonly nodeId: string; readonly isFault: boolean }
  | { readonly kind: "cancelled" }
  /** A result that it reads is lost and made again; `by`: who could not read it, null: somebody else. */
  | {
      readonly kind: "input-lost";
      readonly by: { readonly nodeId: string; readonly epoch: number } | null;
    }
  /** What it made cannot be read. */
  | { readonly kind: "result-lost" }
  /** What it waits for has not come in time. */
  | { readonly kind: "given-up"; readonly failure: TaskFailure }
  /** Its owner wants it done again; `blocked` while its inputs are not there. */
  | { readonly kind: "reset"; readonly blocked: boolean }
);

/** What the node of an effect has to be told; `epoch` is the grant that the node knows. */
export type TaskEffect =
  | { readonly kind: "cancel"; readonly nodeId: string; readonly epoch: number }
  | { readonly kind: "yield"; readonly nodeId: string; readonly epoch: number }
  | {
      readonly kind: "continue-alone";
      readonly nodeId: string;
      readonly epoch: number;
      readonly newEpoch: number;
    }
  /** A member left; its time goes on the account. */
  | { readonly kind: "charge"; readonly used: number; readonly wasted: number }
  | { readonly kind: "count"; readonly metric: TaskMetric };

export type TaskMetric =
  | "task_reports_stale_total"
  | "task_retries_total"
  | "task_yields_total"
  | "pairs_broken_total";

type Step = readonly [next: Task, effects: readonly TaskEffect[]];
type On<K extends TaskEvent["kind"]> = Extract<TaskEvent, { kind: K }>;

const stale = (task: Task): Step => [task, [count("task_reports_stale_total")]];
const count = (metric: TaskMetric): TaskEffect => ({ kind: "count", metric });

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
    case "checkpointed":
      return isCurrent(task, event) ? [keepCheckpoint(task, event), []] : stale(task);
    case "ending":
      return isCurrent(task, event)
        ? [leaveAccelerator(task, event.nodeId, event.atMs), []]
        : stale(task);
    case "asked-to-yield":
      return askToYield(task);
    case "yielded":
      return isCurrent(task, event) ? giveBack(task, event) : stale(task);
    case "pair-broken":
      return isCurrent(task, event) ? breakPair(task, event.nodeId, event.atMs) : stale(task);
    case "node-lost":
      return loseNode(task, event);
    case "cancelled":
      return cancel(task, event.atMs);
    case "given-up":
      return giveUp(task, event);
    case "input-lost":
      return loseInput(task, event);
    case "result-lost":
      return loseResult(task);
    case "reset":
      return reset(task, event);
  }
}

/** Whether a task can change again only by a retry. */
export function isEnded(task: Task): boolean {
  return ["done", "failed", "cancelled"].includes(task.state.kind);
}

/** The members of the current grant; [] when nobody works on it. */
export function membersOf(task: Task): readonly Member[] {
  return task.state.kind === "granted" ? task.state.members : [];
}

/** Whether a report is of one who works on the task now. */
export function isCurrent(task: Task, report: { nodeId: string; epoch: number }): boolean {
  return (
    report.epoch === task.epoch && membersOf(task).some((member) => member.nodeId === report.nodeId)
  );
}

function grant(task: Task, { members, atMs }: On<"granted">): Step {
  const joined = members.map((member) => member.nodeId);
  return [
    {
      ...task,
      state: { kind: "granted", members, sinceMs: atMs, yielding: false, ending: [] },
      epoch: task.epoch + 1,
      attempts: task.attempts + 1,
      workedNodeIds: [...new Set([...task.workedNodeIds, ...joined])],
      plans: [...task.plans, members.length === 2 ? "pair" : "single"],
      firstGrantMs: task.firstGrantMs ?? atMs,
    },
    [],
  ];
}

/** The first member that finishes wins; in a pair both hold the same bytes, so the other one stops. */
function finish(task: Task, event: On<"finished">): Step {
  return [
    { ...task, state: { kind: "done", result: event.result }, endMs: event.atMs },
    [...cancelOthers(task, event.nodeId), ...charge(task, event.atMs, "used")],
  ];
}

/** When one of a pair fails alone, the other one holds the latents and goes on from there. */
function fail(task: Task, event: On<"failed">): Step {
  const { code } = event.failure;
  const survivor = membersOf(task).find((member) => member.nodeId !== event.nodeId);
  const isOwn = code !== "numerical" && new FarmError(code, "").retry !== "never";
  const failures = [...task.failures, { nodeId: event.nodeId, code }];
  const memoryAboveBytes = memoryWanted(task.memoryAboveBytes, event.memory);
  if (survivor && isOwn && !isSpent(failures)) {
    const going = { ...task, failures, memoryAboveBytes };
    const [next, effects] = breakPair(going, survivor.nodeId, event.atMs);
    return [next, effects.filter((e) => e.kind !== "cancel" || e.nodeId !== event.nodeId)];
  }
  const leaving = [...cancelOthers(task, event.nodeId), ...charge(task, event.atMs, "wasted")];
  const after = { ...task, memoryAboveBytes };
  if (event.memory?.retryOn === "none") {
    const failure = { code, detail: event.memory.detail };
    return [{ ...after, failures, state: { kind: "failed", failure }, endMs: event.atMs }, leaving];
  }
  const [next, effects] = retryOrFail(after, event.nodeId, event.failure, event.atMs);
  return [next, [...leaving, ...effects]];
}

/** Goes back to ready unless a retry cannot help or was tried often enough. */
function retryOrFail(task: Task, nodeId: string, failure: TaskFailure, atMs: number): Step {
  const failures = [...task.failures, { nodeId, code: failure.code }];
  const hopeless =
    new FarmError(failure.code, failure.detail).retry === "never" || isSpent(failures);
  if (hopeless) return [{ ...task, failures, state: { kind: "failed", failure }, endMs: atMs }, []];
  const checkpoint = DISTRUSTED.has(failure.code) ? originOf(task, atMs) : task.checkpoint;
  return [
    { ...task, failures, checkpoint, state: { kind: "ready" } },
    [count("task_retries_total")],
  ];
}

/** Only denoising has step boundaries; every other stage is short and runs to its end. */
function askToYield(task: Task): Step {
  if (task.stage !== "denoise" || task.state.kind !== "granted" || task.state.yielding) {
    return [task, []];
  }
  const asked = task.state.members.map(
    ({ nodeId }): TaskEffect => ({ kind: "yield", nodeId, epoch: task.epoch }),
  );
  return [{ ...task, state: { ...task.state, yielding: true } }, asked];
}

/** Costs no attempt: nothing went wrong. */
function giveBack(task: Task, event: On<"yielded">): Step {
  const kept = keepCheckpoint(task, event);
  return [
    { ...kept, state: { kind: "ready" } },
    [
      count("task_yields_total"),
      ...cancelOthers(task, event.nodeId),
      ...charge(kept, event.atMs, "used"),
    ],
  ];
}

/** One member goes on alone under a new epoch, from the step whose latents it holds. */
function breakPair(task: Task, survivorId: string, atMs: number): Step {
  const { state } = task;
  if (state.kind !== "granted" || state.members.length !== 2) return stale(task);
  const newEpoch = task.epoch + 1;
  const lost = state.members.find(({ nodeId }) => nodeId !== survivorId)!;
  const lostUntilMs = heldUntilMs(task, lost.nodeId, atMs);
  const alone: Task = {
    ...task,
    state: {
      ...state,
      members: [{ nodeId: survivorId, half: null }],
      yielding: false,
      ending: state.ending.filter(({ nodeId }) => nodeId === survivorId),
    },
    epoch: newEpoch,
    plans: [...task.plans, "single"],
  };
  const again: TaskEffect[] = state.yielding
    ? [{ kind: "yield", nodeId: survivorId, epoch: newEpoch }]
    : [];
  return [
    again.length === 0
      ? alone
      : { ...alone, state: { ...alone.state, yielding: true } as TaskState },
    [
      count("pairs_broken_total"),
      ...cancelOthers(task, survivorId),
      // The halves that the lost partner computed are in the latents that the survivor holds.
      { kind: "charge", used: secondsBetween(state.sinceMs, lostUntilMs), wasted: 0 },
      { kind: "continue-alone", nodeId: survivorId, epoch: task.epoch, newEpoch },
      ...again,
    ],
  ];
}

function loseNode(task: Task, event: On<"node-lost">): Step {
  const members = membersOf(task);
  if (!members.some((member) => member.nodeId === event.nodeId)) return [task, []];
  const survivor = members.find((member) => member.nodeId !== event.nodeId);
  if (survivor) {
    const [next, effects] = breakPair(task, survivor.nodeId, event.atMs);
    // The lost node cannot be told anything.
    return [next, effects.filter((e) => e.kind !== "cancel" || e.nodeId !== event.nodeId)];
  }
  const charges = charge(task, event.atMs, "wasted");
  if (!event.isFault) return [{ ...task, state: { kind: "ready" } }, charges];
  const failure: TaskFailure = {
    code: "unreachable",
    detail: `node ${event.nodeId} was lost while it worked on ${task.taskId}`,
  };
  const [next, effects] = retryOrFail(task, event.nodeId, failure, event.atMs);
  return [next, [...charges, ...effects]];
}

/** Costs no attempt: it is not the reader's fault. */
function loseInput(task: Task, { by, atMs }: On<"input-lost">): Step {
  const blocked: Task = { ...task, state: { kind: "blocked" } };
  if (by === null) return [task.state.kind === "ready" ? blocked : task, []];
  if (!isCurrent(task, by)) return stale(task);
  return [blocked, [...cancelOthers(task, by.nodeId), ...charge(task, atMs, "wasted")]];
}

/** Its latents on their way stay good: what of them has rotted too is found when they are read. */
function loseResult(task: Task): Step {
  if (task.state.kind !== "done") return [task, []];
  return [
    { ...task, state: { kind: "ready" }, failures: [], endMs: null },
    [count("task_retries_total")],
  ];
}

function giveUp(task: Task, { failure, atMs }: On<"given-up">): Step {
  if (task.state.kind !== "ready") return [task, []];
  return [{ ...task, state: { kind: "failed", failure }, endMs: atMs }, []];
}

function cancel(task: Task, atMs: number): Step {
  if (isEnded(task)) return [task, []];
  return [
    { ...task, state: { kind: "cancelled" }, endMs: atMs },
    [...cancelOthers(task, null), ...charge(task, atMs, "wasted")],
  ];
}

/**
 * Forgets what failed. A checkpoint stays good, since the same parameters made it, unless the inputs
 * are made anew as well.
 */
function reset(task: Task, event: On<"reset">): Step {
  if (!isEnded(task)) return [task, []];
  const state: TaskState = event.blocked ? { kind: "blocked" } : { kind: "ready" };
  const latents = event.blocked ? { checkpoint: originOf(task, event.atMs), kept: [] } : {};
  return [{ ...task, state, ...latents, failures: [], memoryAboveBytes: null, endMs: null }, []];
}

function cancelOthers(task: Task, keptNodeId: string | null): TaskEffect[] {
  return membersOf(task)
    .filter((member) => member.nodeId !== keptNodeId)
    .map((member) => ({ kind: "cancel", nodeId: member.nodeId, epoch: task.epoch }));
}
