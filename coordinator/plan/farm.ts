/**
 * @file The one door through which the farm changes.
 *
 * `reduceFarm` reads no clock and does no I/O: the same events give the same farm and the same
 * effects, so a restart is a replay of the journal. It changes the farm in place, because copying
 * maps of thousands of jobs at every event would cost more than the event; the machines of a
 * single task and of a node's record, and the scheduler, are pure functions of values.
 */
import { assert } from "../../shared/core/assert.js";
import { formatTraceparent, traceOfJob } from "../../shared/core/trace-context.js";
import type { Partner } from "../../shared/farm/work.js";
import type { FarmEffect, FarmEvent, TaskReported } from "./events.js";
import type { Farm } from "./farm-state.js";
import { changeTask, publish, remember } from "./farm-tasks.js";
import {
  admitJob,
  changeJob,
  createJob,
  endClip,
  jobById,
  startClip,
  taskById,
  tasksOf,
} from "./job-machine.js";
import { deleteJob, pauseJob, retryJob, stopJob, sweepJob } from "./job-verbs.js";
import { judgeMemory, noteOutgrown, outgrownFailure } from "./memory.js";
import { type NodeInfo, tasksHeld } from "./node.js";
import { remakeInput } from "./remake.js";
import type { Member, Task } from "./task.js";
import { membersOf } from "./task.js";
import { workOf } from "./task-graph.js";

/** Applies one event; the effects are to be carried out once the event is in the journal. */
export function reduceFarm(farm: Farm, event: FarmEvent): FarmEffect[] {
  const effects = applyEvent(farm, event);
  noteOutgrown(farm, event.atMs);
  return effects;
}

function applyEvent(farm: Farm, event: FarmEvent): FarmEffect[] {
  const { atMs } = event;
  switch (event.kind) {
    case "farm-started":
      return startFarm(farm, atMs);
    case "node-joined":
      return joinNode(farm, event.node, atMs);
    case "node-left":
      return leaveNode(farm, event, atMs);
    case "node-stopping":
      return stopNode(farm, event.nodeId, atMs);
    case "node-drained":
      remember(farm, event.nodeId, { kind: "drained" });
      return freeNode(farm, event.nodeId, atMs);
    case "node-undrained":
      return undrainNode(farm, event.nodeId);
    case "job-created":
      return createJob(farm, event.job, atMs);
    case "job-due":
      return changeJob(farm, event.jobId, { due: true });
    case "job-admitted":
      return admitJob(farm, event.jobId);
    case "job-paused":
      return pauseJob(farm, event.jobId, atMs);
    case "job-resumed":
      return changeJob(farm, event.jobId, { paused: false });
    case "job-prioritized":
      return changeJob(farm, event.jobId, { priority: event.priority });
    case "job-cancelled":
      return stopJob(farm, event.jobId, "cancelled", atMs);
    case "job-expired":
      return stopJob(farm, event.jobId, "expired", atMs);
    case "job-retried":
      return retryJob(farm, event, atMs);
    case "job-swept":
      return sweepJob(farm, event.jobId);
    case "job-deleted":
      return deleteJob(farm, event.jobId);
    case "task-granted":
      return grantTask(farm, event.taskId, event.members, atMs);
    case "task-given-up":
      return giveUpTask(farm, event.taskId, atMs);
    case "task-asked-to-yield":
      return changeTask(farm, event.taskId, { kind: "asked-to-yield", atMs });
    case "task-finished":
    case "task-failed":
    case "task-checkpointed":
    case "task-ending":
    case "task-yielded":
    case "pair-broken":
      return reportTask(farm, event, atMs);
    case "clip-published":
      return publishClip(farm, event, atMs);
  }
}

/** After a restart no node is connected, and a clip may have been cut between mux and publication. */
function startFarm(farm: Farm, atMs: number): FarmEffect[] {
  const effects: FarmEffect[] = [];
  for (const nodeId of [...farm.nodes.keys()]) {
    effects.push(...dropNode(farm, nodeId, false, atMs));
  }
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
  const { nodeId } = info;
  const isRejoin = farm.nodes.has(nodeId);
  if (isRejoin) remember(farm, nodeId, { kind: "lost", atMs });
  const effects = isRejoin ? dropNode(farm, nodeId, true, atMs) : [];
  remember(farm, nodeId, { kind: "joined", atMs });
  const free = { gpuTaskId: null, endingTaskId: null, muxTaskId: null, lastShape: "" };
  farm.nodes.set(nodeId, { info, ...free, stopping: false, apart: [] });
  return effects;
}

function leaveNode(
  farm: Farm,
  event: { readonly nodeId: string; readonly bootId: string; readonly stopped: boolean },
  atMs: number,
): FarmEffect[] {
  const { nodeId, bootId, stopped } = event;
  if (farm.nodes.get(nodeId)?.info.bootId !== bootId) return [];
  if (!stopped) remember(farm, nodeId, { kind: "lost", atMs });
  return dropNode(farm, nodeId, !stopped, atMs);
}

/** @param isFault whether its tasks pay for it with an attempt */
function dropNode(farm: Farm, nodeId: string, isFault: boolean, atMs: number): FarmEffect[] {
  const node = farm.nodes.get(nodeId);
  assert(node, `node ${nodeId}`);
  farm.nodes.delete(nodeId);
  const lost = { kind: "node-lost", nodeId, isFault, atMs } as const;
  return tasksHeld(node).flatMap((taskId) => changeTask(farm, taskId, lost));
}

function stopNode(farm: Farm, nodeId: string, atMs: number): FarmEffect[] {
  const node = farm.nodes.get(nodeId);
  if (!node) return [];
  node.stopping = true;
  return freeNode(farm, nodeId, atMs);
}

function undrainNode(farm: Farm, nodeId: string): FarmEffect[] {
  remember(farm, nodeId, { kind: "undrained" });
  const node = farm.nodes.get(nodeId);
  if (node) node.apart = [];
  return [];
}

/** What it denoises is given back at the next step; shorter work runs to its end. */
function freeNode(farm: Farm, nodeId: string, atMs: number): FarmEffect[] {
  const taskId = farm.nodes.get(nodeId)?.gpuTaskId;
  return taskId ? changeTask(farm, taskId, { kind: "asked-to-yield", atMs }) : [];
}

function grantTask(
  farm: Farm,
  taskId: string,
  members: readonly Member[],
  atMs: number,
): FarmEffect[] {
  const effects = changeTask(farm, taskId, { kind: "granted", members, atMs });
  const task = taskById(farm, taskId);
  startClip(farm, task.jobId, task.clipIndex, atMs);
  const job = jobById(farm, task.jobId);
  const clipTasks = tasksOf(farm, job.clips[task.clipIndex]!);
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
        traceparent: formatTraceparent(traceOfJob(job.jobId, job.traceparent)),
      },
    });
  }
  return effects;
}

/** A bigger node that came in the very moment makes it a task like any other again. */
function giveUpTask(farm: Farm, taskId: string, atMs: number): FarmEffect[] {
  if ((farm.outgrown.get(taskId) ?? null) === null) return [];
  const task = taskById(farm, taskId);
  const failure = outgrownFailure(jobById(farm, task.jobId), task);
  return changeTask(farm, taskId, { kind: "given-up", failure, atMs });
}

function partnerOf(farm: Farm, nodeId: string): Partner {
  const node = farm.nodes.get(nodeId);
  assert(node, `granted node ${nodeId} to be connected`);
  const { busAddress, busToken } = node.info;
  return { nodeId, busAddress, busToken };
}

function reportTask(farm: Farm, event: TaskReported, atMs: number): FarmEffect[] {
  const { taskId, nodeId, epoch } = event;
  // A report can name a task that was never there: a node of another farm, or of a lost journal.
  if (!farm.tasks.has(taskId)) return [{ kind: "count", metric: "task_reports_stale_total" }];
  const from = { nodeId, epoch, atMs };
  switch (event.kind) {
    case "task-finished":
      return changeTask(farm, taskId, { kind: "finished", ...from, result: event.result });
    case "task-failed": {
      const { failure } = event;
      const remade = remakeInput(farm, { ...event, atMs });
      if (remade !== null) return remade;
      const memory = judgeMemory(farm, taskById(farm, taskId), nodeId, failure, atMs);
      return changeTask(farm, taskId, { kind: "failed", ...from, failure, memory });
    }
    case "task-checkpointed": {
      const { checkpoint } = event;
      return changeTask(farm, taskId, { kind: "checkpointed", ...from, checkpoint });
    }
    case "task-ending":
      return noteEnding(farm, taskById(farm, taskId), from);
    case "task-yielded": {
      const { checkpoint } = event;
      return changeTask(farm, taskId, { kind: "yielded", ...from, checkpoint });
    }
    case "pair-broken":
      keepApart(farm, taskById(farm, taskId), from);
      return changeTask(farm, taskId, { kind: "pair-broken", ...from });
  }
}

/** A node stores one result beside its work: a second one keeps its accelerator until it is stored. */
function noteEnding(
  farm: Farm,
  { taskId, stage }: Task,
  from: { readonly nodeId: string; readonly epoch: number; readonly atMs: number },
): FarmEffect[] {
  const stored = farm.nodes.get(from.nodeId)?.endingTaskId ?? null;
  if (stage === "mux" || (stored !== null && stored !== taskId)) return [];
  return changeTask(farm, taskId, { kind: "ending", ...from });
}

/**
 * The halves of two nodes do not reach each other. Each of them remembers it: one that joins anew is
 * another one, which its partner may well reach.
 */
function keepApart(
  farm: Farm,
  task: Task,
  { nodeId, epoch, atMs }: { nodeId: string; epoch: number; atMs: number },
): void {
  const members = membersOf(task).map((member) => member.nodeId);
  if (task.epoch !== epoch || members.length !== 2 || !members.includes(nodeId)) return;
  for (const id of members) {
    const node = farm.nodes.get(id);
    const partnerId = members.find((other) => other !== id)!;
    const others = node?.apart.filter((each) => each.nodeId !== partnerId) ?? [];
    if (node) node.apart = [...others, { nodeId: partnerId, atMs }];
  }
}

function publishClip(
  farm: Farm,
  { jobId, clipIndex, run }: { jobId: string; clipIndex: number; run: number },
  atMs: number,
): FarmEffect[] {
  const clip = farm.jobs.get(jobId)?.clips[clipIndex];
  // The manifest of an earlier run names other files.
  if (clip?.run !== run) return [];
  const mux = tasksOf(farm, clip).at(-1);
  if (clip.state !== "running" || mux?.state.kind !== "done") return [];
  const { outputs } = mux.state.result;
  return endClip(farm, jobId, clipIndex, { failure: null, outputs }, atMs);
}
