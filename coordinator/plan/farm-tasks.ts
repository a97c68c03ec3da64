/** @file One step of one task, and what it means for nodes, the queue, its clip and the accounts. */
import { assert } from "../../shared/core/assert.js";
import { planChunks } from "../../shared/farm/parameters.js";
import type { FarmEffect } from "./events.js";
import type { Farm } from "./farm-state.js";
import { recordOf } from "./farm-state.js";
import type { Clip, Job } from "./job.js";
import { isHeld } from "./job.js";
import { endClip, jobById, taskById, tasksOf } from "./job-machine.js";
import type { NodeRecordEvent } from "./node-machine.js";
import { reduceNodeRecord } from "./node-machine.js";
import type { Task, TaskEffect, TaskEvent } from "./task.js";
import { isEnded, membersOf, reduceTask } from "./task.js";
import { unblockedBy } from "./task-graph.js";

/** Steps one task's machine, and keeps everything that depends on it true to it. */
export function changeTask(farm: Farm, taskId: string, event: TaskEvent): FarmEffect[] {
  const before = taskById(farm, taskId);
  const [after, taskEffects] = reduceTask(before, event);
  const job = jobById(farm, before.jobId);
  const effects = taskEffects.flatMap((effect) => farmEffect(farm, job, after, effect));
  if (after === before) return effects;
  farm.tasks.set(taskId, after);
  moveSlots(farm, before, after);
  requeue(farm, job, after);
  learn(farm, job, event, after);
  effects.push({ kind: "job-changed", jobId: after.jobId });
  if (before.state.kind !== after.state.kind) effects.push(...followUp(farm, after, event));
  return effects;
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
    return unblockedBy(task, tasksOf(farm, clip))
      .filter((next) => next.state.kind === "blocked")
      .flatMap((next) => changeTask(farm, next.taskId, { kind: "unblocked", atMs }));
  }
  if (task.state.kind === "failed") {
    const { failure } = task.state;
    const rest = cancelTasks(farm, clip, atMs);
    return [...rest, ...endClip(farm, job.jobId, clip.index, { failure, outputs: [] }, atMs)];
  }
  return [];
}

/** A node's slot holds a task exactly while the task's grant names the node. */
function moveSlots(farm: Farm, before: Task, after: Task): void {
  const slot = after.stage === "mux" ? "muxTaskId" : "gpuTaskId";
  for (const { nodeId } of membersOf(before)) {
    const node = farm.nodes.get(nodeId);
    if (node?.[slot] === after.taskId) node[slot] = null;
  }
  for (const { nodeId } of membersOf(after)) {
    const node = farm.nodes.get(nodeId);
    assert(node && node[slot] === null, `a free ${slot} on ${nodeId} for ${after.taskId}`);
    node[slot] = after.taskId;
  }
}

function requeue(farm: Farm, job: Job, { taskId, stage, state }: Task): void {
  if (state.kind !== "ready" || isHeld(job)) farm.ready.remove(taskId);
  else farm.ready.add({ taskId, stage, owner: job.owner, priority: job.priority });
}

/** A report of work that ended says something about its node, and about such work. */
function learn(farm: Farm, job: Job, event: TaskEvent, task: Task): void {
  if (event.kind === "finished") {
    remember(farm, event.nodeId, { kind: "task-done" });
    measure(farm, job, task, event);
  }
  if (event.kind !== "failed") return;
  const { code } = event.failure;
  if (code === "device-lost") remember(farm, event.nodeId, { kind: "device-lost" });
  // What no other node could have done better is not the node's fault.
  const isNodes = code !== "invalid-argument" && code !== "cancelled" && code !== "numerical";
  if (isNodes) remember(farm, event.nodeId, { kind: "task-failed", jobId: task.jobId });
}

function measure(
  farm: Farm,
  { modelDigest, parameters }: Job,
  { stage, plans, chunkIndex }: Task,
  { nodeId, result }: Extract<TaskEvent, { kind: "finished" }>,
): void {
  const provider = farm.nodes.get(nodeId)?.info.provider;
  const seconds = stage === "denoise" ? result.secondsPerStep : result.seconds;
  // A denoising that was cut short by a failover may have measured no step of its own.
  if (provider === undefined || seconds <= 0) return;
  const chunks = planChunks(parameters.numFrames, parameters.decodeChunkSize);
  const chunkFrames = stage === "decode" ? (chunks[chunkIndex]?.frameCount ?? 0) : 0;
  const plan = plans.at(-1) ?? "single";
  farm.learned.record({ modelDigest, provider, stage, parameters, chunkFrames, plan }, seconds);
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
