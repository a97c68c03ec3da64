/**
 * @file The whole farm: nodes, jobs and tasks, and the one door through which they change.
 *
 * `reduceFarm` reads no clock and does no I/O: the same events give the same farm and the same
 * effects, so a restart is a replay of the journal. It changes the farm in place, because copying
 * maps of thousands of jobs at every event would cost more than the event; the machines of a
 * single task and the scheduler are pure functions of values.
 */
import { assert } from "../../shared/core/assert.js";
import type { Partner } from "../../shared/farm/work.js";
import type { FarmEffect, FarmEvent } from "./events.js";
import type { Clip, Job } from "./job.js";
import { createJob, endClip, endJobIfComplete, startClip } from "./job-machine.js";
import type { Node, NodeInfo } from "./node.js";
import type { Member, Task, TaskEffect, TaskEvent } from "./task.js";
import { isEnded, membersOf, reduceTask } from "./task.js";
import { unblockedBy, workOf } from "./task-graph.js";

export interface Farm {
  /** Connected nodes by id. */
  readonly nodes: Map<string, Node>;
  /** In the order of their creation. */
  readonly jobs: Map<string, Job>;
  /** Every task of every job, by id. */
  readonly tasks: Map<string, Task>;
  /** Tasks that could start now, in the order in which they became ready. */
  readonly readyTaskIds: Set<string>;
  /** First job of each client's request id. */
  readonly jobIdByRequestId: Map<string, string>;
  /** Jobs that have not ended. */
  openJobCount: number;
}

export function emptyFarm(): Farm {
  return {
    nodes: new Map(),
    jobs: new Map(),
    tasks: new Map(),
    readyTaskIds: new Set(),
    jobIdByRequestId: new Map(),
    openJobCount: 0,
  };
}

/** Applies one event; the effects are to be carried out once the event is in the journal. */
export function reduceFarm(farm: Farm, event: FarmEvent): FarmEffect[] {
  switch (event.kind) {
    case "farm-started":
      return startFarm(farm, event.atMs);
    case "node-joined":
      return joinNode(farm, event.node, event.atMs);
    case "node-left":
      return farm.nodes.get(event.nodeId)?.info.bootId === event.bootId
        ? loseNode(farm, event.nodeId, event.atMs)
        : [];
    case "job-created":
      return createJob(farm, event.job, event.atMs);
    case "job-cancelled":
      return cancelJob(farm, event.jobId, event.atMs);
    case "task-granted":
      return grantTask(farm, event.taskId, event.members, event.atMs);
    case "task-finished":
    case "task-failed":
    case "pair-broken":
      return reportTask(farm, event);
    case "clip-published":
      return publishClip(farm, event.jobId, event.clipIndex, event.atMs);
  }
}

/** The tasks of one clip, in the order of its stages and chunks. */
export function tasksOf(farm: Farm, clip: Clip): Task[] {
  return clip.taskIds.map((taskId) => taskById(farm, taskId));
}

/** After a restart no node is connected, and a clip may have been cut between mux and publication. */
function startFarm(farm: Farm, atMs: number): FarmEffect[] {
  const effects: FarmEffect[] = [];
  for (const nodeId of [...farm.nodes.keys()]) effects.push(...loseNode(farm, nodeId, atMs));
  for (const job of farm.jobs.values()) {
    if (job.endedAtMs !== null) continue;
    for (const clip of job.clips) {
      const mux = tasksOf(farm, clip).at(-1);
      if (clip.state === "running" && mux?.state.kind === "done") effects.push(publish(job, mux));
    }
  }
  return effects;
}

/** A node that joins again under the same id replaces its older self, whose work is lost. */
function joinNode(farm: Farm, info: NodeInfo, atMs: number): FarmEffect[] {
  const effects = farm.nodes.has(info.nodeId) ? loseNode(farm, info.nodeId, atMs) : [];
  farm.nodes.set(info.nodeId, { info, gpuTaskId: null, muxTaskId: null });
  return effects;
}

function loseNode(farm: Farm, nodeId: string, atMs: number): FarmEffect[] {
  const node = farm.nodes.get(nodeId);
  if (!node) return [];
  farm.nodes.delete(nodeId);
  const held = [node.gpuTaskId, node.muxTaskId].filter((taskId) => taskId !== null);
  return held.flatMap((taskId) => changeTask(farm, taskId, { kind: "node-lost", nodeId, atMs }));
}

function grantTask(
  farm: Farm,
  taskId: string,
  members: readonly Member[],
  atMs: number,
): FarmEffect[] {
  const effects = changeTask(farm, taskId, { kind: "granted", members, atMs });
  const task = taskById(farm, taskId);
  const job = jobById(farm, task.jobId);
  const clipTasks = tasksOf(farm, job.clips[task.clipIndex]!);
  effects.push(...startClip(farm, job.jobId, task.clipIndex, atMs));
  for (const member of members) {
    const other = members.find((m) => m !== member);
    effects.push({
      kind: "assign",
      nodeId: member.nodeId,
      assignment: {
        taskId,
        jobId: task.jobId,
        clipId: `${task.jobId}-${task.clipIndex}`,
        epoch: task.epoch,
        attempt: task.attempts,
        work: workOf(job, task, clipTasks, member, other ? partnerOf(farm, other.nodeId) : null),
      },
    });
  }
  return effects;
}

function partnerOf(farm: Farm, nodeId: string): Partner {
  const node = farm.nodes.get(nodeId);
  assert(node, `granted node ${nodeId} to be connected`);
  const { busAddress, busToken } = node.info;
  return { nodeId, busAddress, busToken };
}

function reportTask(
  farm: Farm,
  event: Extract<FarmEvent, { kind: "task-finished" | "task-failed" | "pair-broken" }>,
): FarmEffect[] {
  const { nodeId, epoch, atMs } = event;
  // A report can name a task that was never there: a node of another farm, or of a lost journal.
  if (!farm.tasks.has(event.taskId)) return [{ kind: "count", metric: "task_reports_stale_total" }];
  switch (event.kind) {
    case "task-finished":
      return changeTask(farm, event.taskId, {
        kind: "finished",
        nodeId,
        epoch,
        result: event.result,
        atMs,
      });
    case "task-failed":
      return changeTask(farm, event.taskId, {
        kind: "failed",
        nodeId,
        epoch,
        failure: event.failure,
        atMs,
      });
    case "pair-broken":
      return changeTask(farm, event.taskId, { kind: "pair-broken", nodeId, epoch });
  }
}

/** Steps one task's machine, and keeps the slots of nodes, the ready set and the clip true to it. */
function changeTask(farm: Farm, taskId: string, event: TaskEvent): FarmEffect[] {
  const before = taskById(farm, taskId);
  const [after, taskEffects] = reduceTask(before, event);
  const effects = taskEffects.map((effect) => farmEffect(taskId, effect));
  if (after === before) return effects;
  farm.tasks.set(taskId, after);
  moveSlots(farm, before, after);
  if (after.state.kind === "ready") farm.readyTaskIds.add(taskId);
  else farm.readyTaskIds.delete(taskId);
  effects.push({ kind: "job-changed", jobId: after.jobId });
  if (before.state.kind !== after.state.kind) effects.push(...followUp(farm, after, event));
  return effects;
}

/** What the end of one task means for the others of its clip. */
function followUp(farm: Farm, task: Task, event: TaskEvent): FarmEffect[] {
  const job = jobById(farm, task.jobId);
  const clip = job.clips[task.clipIndex]!;
  if (task.state.kind === "done") {
    if (task.stage === "mux") return [publish(job, task)];
    return unblockedBy(task, tasksOf(farm, clip)).flatMap((next) =>
      changeTask(farm, next.taskId, { kind: "unblocked" }),
    );
  }
  if (task.state.kind === "failed" && "atMs" in event) {
    const rest = cancelTasks(farm, clip, event.atMs);
    return [...rest, ...endClip(farm, job.jobId, clip.index, task.state.failure, [], event.atMs)];
  }
  return [];
}

function cancelJob(farm: Farm, jobId: string, atMs: number): FarmEffect[] {
  const job = farm.jobs.get(jobId);
  if (!job || job.endedAtMs !== null) return [];
  const effects = job.clips.flatMap((clip) => cancelTasks(farm, clip, atMs));
  const clips = job.clips.map((clip) =>
    clip.state === "queued" || clip.state === "running"
      ? { ...clip, state: "cancelled" as const }
      : clip,
  );
  farm.jobs.set(jobId, { ...job, clips });
  return [...effects, ...endJobIfComplete(farm, jobId, atMs)];
}

function cancelTasks(farm: Farm, clip: Clip, atMs: number): FarmEffect[] {
  return tasksOf(farm, clip)
    .filter((task) => !isEnded(task))
    .flatMap((task) => changeTask(farm, task.taskId, { kind: "cancelled", atMs }));
}

function publish(job: Job, mux: Task): FarmEffect {
  assert(mux.state.kind === "done", "a finished mux before publication");
  const outputs = mux.state.result.outputs;
  return { kind: "publish", jobId: job.jobId, clipIndex: mux.clipIndex, outputs };
}

function publishClip(farm: Farm, jobId: string, clipIndex: number, atMs: number): FarmEffect[] {
  const clip = farm.jobs.get(jobId)?.clips[clipIndex];
  if (!clip) return [];
  const mux = tasksOf(farm, clip).at(-1);
  if (clip.state !== "running" || mux?.state.kind !== "done") return [];
  return endClip(farm, jobId, clipIndex, null, mux.state.result.outputs, atMs);
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

function farmEffect(taskId: string, effect: TaskEffect): FarmEffect {
  return effect.kind === "count" ? effect : { ...effect, taskId };
}

function taskById(farm: Farm, taskId: string): Task {
  const task = farm.tasks.get(taskId);
  assert(task, `task ${taskId}`);
  return task;
}

function jobById(farm: Farm, jobId: string): Job {
  const job = farm.jobs.get(jobId);
  assert(job, `job ${jobId}`);
  return job;
}
