/** @file One step of one task, and what it means for nodes, the queue, its clip and the accounts. */
import { assert } from "../../shared/core/assert.js";
import type { FarmErrorCode } from "../../shared/core/errors.js";
import { isTerminal } from "../../shared/farm/job.js";
import type { FarmEffect } from "./events.js";
import type { Farm } from "./farm-state.js";
import { recordOf } from "./farm-state.js";
import type { Clip, Job } from "./job.js";
import { isHeld } from "./job.js";
import { endClip, jobById, taskById, tasksOf } from "./job-machine.js";
import { shapeOf } from "./learned.js";
import { FAILED_NODES_MAX } from "./limits.js";
import type { NodeRecordEvent } from "./node-machine.js";
import { reduceNodeRecord } from "./node-machine.js";
import type { Task, TaskEffect, TaskEvent, TaskFailure } from "./task.js";
import { isEnded, membersOf, reduceTask } from "./task.js";
import { isEnding } from "./task-ending.js";
import type { MemoryVerdict } from "./task-failures.js";
import { isFed } from "./task-graph.js";
import { workKindOf } from "./work-kind.js";

/** Steps one task's machine, and keeps everything that depends on it true to it. */
export function changeTask(farm: Farm, taskId: string, event: TaskEvent): FarmEffect[] {
  const before = taskById(farm, taskId);
  const job = jobById(farm, before.jobId);
  const [reduced, taskEffects] = reduceTask(before, event);
  const after = unlessStarved(farm, job, reduced);
  const effects = taskEffects.flatMap((effect) => farmEffect(farm, job, after, effect));
  if (after === before) return effects;
  farm.tasks.set(taskId, after);
  moveSlots(farm, job, before, after);
  requeue(farm, job, after);
  noteMemory(farm, after);
  learn(farm, job, event, after);
  effects.push({ kind: "job-changed", jobId: after.jobId });
  if (before.state.kind !== after.state.kind) effects.push(...followUp(farm, after, event));
  effects.push(...judgeJob(farm, after, event));
  return effects;
}

/** Nothing is ready while something that it reads is made again. */
function unlessStarved(farm: Farm, job: Job, task: Task): Task {
  if (task.state.kind !== "ready") return task;
  const clipTasks = tasksOf(farm, job.clips[task.clipIndex]!);
  return isFed(task, clipTasks) ? task : { ...task, state: { kind: "blocked" } };
}

/** Every task of a clip that has not ended. */
export function cancelTasks(farm: Farm, clip: Clip, atMs: number): FarmEffect[] {
  return tasksOf(farm, clip)
    .filter((task) => !isEnded(task))
    .flatMap((task) => changeTask(farm, task.taskId, { kind: "cancelled", atMs }));
}

/** Publication of a clip whose mux is done. */
export function publish(job: Job, mux: Task): FarmEffect {
  assert(mux.state.kind === "done", "a finished mux before publication");
  const { jobId } = job;
  const { clipIndex } = mux;
  const { outputs } = mux.state.result;
  return { kind: "publish", jobId, clipIndex, run: job.clips[clipIndex]!.run, outputs };
}

/** Notes something about a node id. */
export function remember(farm: Farm, nodeId: string, event: NodeRecordEvent): void {
  farm.nodeRecords.set(nodeId, reduceNodeRecord(recordOf(farm, nodeId), event));
}

/** What the end of one task means for the others of its clip. */
function followUp(farm: Farm, task: Task, event: TaskEvent): FarmEffect[] {
  const job = jobById(farm, task.jobId);
  const clip = job.clips[task.clipIndex]!;
  const { atMs } = event;
  if (task.state.kind === "done") {
    if (task.stage === "mux") return [publish(job, task)];
    const clipTasks = tasksOf(farm, clip);
    return clipTasks
      .filter((next) => next.state.kind === "blocked" && isFed(next, clipTasks))
      .flatMap((next) => changeTask(farm, next.taskId, { kind: "unblocked", atMs }));
  }
  if (task.state.kind === "failed") {
    const { failure } = task.state;
    const rest = cancelTasks(farm, clip, atMs);
    return [...rest, ...endClip(farm, job.jobId, clip.index, { failure, outputs: [] }, atMs)];
  }
  return [];
}

/**
 * A job that fails everywhere would wear out every node, a few tries for each of its clips. Losses of
 * nodes blame a job only where one task was lost with node after node: a rack that goes dark takes
 * many tasks of innocent jobs with it.
 */
function judgeJob(farm: Farm, task: Task, event: TaskEvent): FarmEffect[] {
  const job = farm.jobs.get(task.jobId);
  if (!job || job.endedAtMs !== null) return [];
  const { stage, jobId } = task;
  const ofOtherStages = job.failedOn.filter((failure) => failure.stage !== stage);
  if (event.kind === "finished" && ofOtherStages.length < job.failedOn.length) {
    farm.jobs.set(jobId, { ...job, failedOn: ofOtherStages });
  }
  const nodeIds = blamedNodes(job, task, event);
  if (nodeIds.length === 0) return [];
  const failedOn = nodeIds.map((nodeId) => ({ stage, nodeId }));
  farm.jobs.set(jobId, { ...job, failedOn: [...ofOtherStages, ...failedOn] });
  if (nodeIds.length < FAILED_NODES_MAX) return [];
  const last = event.kind === "failed" ? `${event.failure.code}: ${event.failure.detail}` : "lost";
  const detail =
    `job ${jobId} is quarantined: its ${stage} failed on ${nodeIds.length} nodes ` +
    `(${nodeIds.join(", ")}), the last time with ${last}; retry the job to try again`;
  return quarantine(farm, jobId, { code: "quarantined", detail }, event.atMs);
}

/** Failures that may be the work's own fault, unlike a store that cannot be reached. */
const BLAMING: ReadonlySet<FarmErrorCode> = new Set([
  "runtime-failed",
  "device-lost",
  "tool-failed",
]);

/** The nodes that the stage of the job failed on, the newest last; [] when this event adds none. */
function blamedNodes({ failedOn }: Job, task: Task, event: TaskEvent): string[] {
  const before = failedOn.filter(({ stage }) => stage === task.stage).map((f) => f.nodeId);
  const isBlaming =
    event.kind === "failed" &&
    (BLAMING.has(event.failure.code) || event.memory?.retryOn === "any-node");
  if (isBlaming) {
    return [...new Set([...before, event.nodeId])];
  }
  if (event.kind !== "node-lost" || task.state.kind !== "failed") return [];
  const own = task.failures.filter(({ code }) => BLAMING.has(code) || code === "unreachable");
  const nodeIds = [...new Set(own.map(({ nodeId }) => nodeId))];
  return nodeIds.length >= FAILED_NODES_MAX ? nodeIds : [];
}

/** What has finished stays; every other clip fails. */
function quarantine(farm: Farm, jobId: string, failure: TaskFailure, atMs: number): FarmEffect[] {
  return jobById(farm, jobId).clips.flatMap((clip) => {
    if (isTerminal(clip.state)) return [];
    const rest = cancelTasks(farm, clip, atMs);
    return [...rest, ...endClip(farm, jobId, clip.index, { failure, outputs: [] }, atMs)];
  });
}

/** A node's slot holds a task exactly while the task's grant names the node. */
function moveSlots(farm: Farm, job: Job, before: Task, after: Task): void {
  for (const { nodeId } of membersOf(before)) {
    const node = farm.nodes.get(nodeId);
    const slot = slotOf(before, nodeId);
    if (node?.[slot] === after.taskId) node[slot] = null;
  }
  for (const { nodeId } of membersOf(after)) {
    const node = farm.nodes.get(nodeId);
    const slot = slotOf(after, nodeId);
    assert(node && node[slot] === null, `a free ${slot} on ${nodeId} for ${after.taskId}`);
    node[slot] = after.taskId;
    if (slot === "gpuTaskId") {
      node.lastShape = shapeOf(workKindOf(job, after, { provider: node.info.provider }));
    }
  }
}

function slotOf(task: Task, nodeId: string): "muxTaskId" | "endingTaskId" | "gpuTaskId" {
  if (task.stage === "mux") return "muxTaskId";
  return isEnding(task, nodeId) ? "endingTaskId" : "gpuTaskId";
}

function requeue(farm: Farm, job: Job, { taskId, stage, state }: Task): void {
  if (state.kind !== "ready" || isHeld(job)) farm.ready.remove(taskId);
  else farm.ready.add({ taskId, stage, owner: job.owner, priority: job.priority });
}

/** Only a bigger node will do, and it is waited for. */
function noteMemory(farm: Farm, { taskId, state, memoryAboveBytes }: Task): void {
  const waits = state.kind === "ready" && memoryAboveBytes !== null;
  if (!waits) farm.outgrown.delete(taskId);
  else if (!farm.outgrown.has(taskId)) farm.outgrown.set(taskId, null);
}

/** A report of work that ended says something about its node, and about such work. */
function learn(farm: Farm, job: Job, event: TaskEvent, task: Task): void {
  if (event.kind === "finished") {
    remember(farm, event.nodeId, { kind: "task-done" });
    measure(farm, job, task, event);
  }
  if (event.kind !== "failed") return;
  const { nodeId, failure, memory, atMs } = event;
  const { code } = failure;
  if (code === "device-lost") remember(farm, nodeId, { kind: "device-lost" });
  if (isNodesFault(code, memory)) {
    remember(farm, nodeId, { kind: "task-failed", jobId: task.jobId });
  }
  const info = farm.nodes.get(nodeId)?.info;
  if (memory !== null && memory.retryOn !== "any-node" && info) {
    farm.learned.hadTooLittle(workKindOf(job, task, info), info.memoryBytes, atMs);
  }
}

/** What no other node of its kind could have done better is not the node's fault. */
function isNodesFault(code: FarmErrorCode, memory: MemoryVerdict | null): boolean {
  if (code === "out-of-memory") return memory?.retryOn === "any-node";
  return code !== "invalid-argument" && code !== "cancelled" && code !== "numerical";
}

function measure(
  farm: Farm,
  job: Job,
  task: Task,
  { nodeId, result }: Extract<TaskEvent, { kind: "finished" }>,
): void {
  const info = farm.nodes.get(nodeId)?.info;
  if (!info) return;
  const kind = workKindOf(job, task, { ...info, plan: task.plans.at(-1) ?? "single" });
  if (task.stage !== "mux") farm.learned.hadEnough(kind, info.memoryBytes);
  const seconds = task.stage === "denoise" ? result.secondsPerStep : result.seconds;
  // A denoising that was cut short by a failover may have measured no step of its own.
  if (seconds > 0) farm.learned.record(kind, seconds);
}

function farmEffect(farm: Farm, job: Job, task: Task, effect: TaskEffect): FarmEffect[] {
  switch (effect.kind) {
    case "count":
      return [effect];
    case "charge": {
      const { jobId, owner } = job;
      const { used, wasted } = effect;
      farm.usage.charge({ jobId, owner, stage: task.stage }, { used, wasted });
      return [];
    }
    case "cancel":
    case "yield":
    case "continue-alone":
      return [{ ...effect, taskId: task.taskId }];
  }
}
