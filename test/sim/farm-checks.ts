/** @file What must be true of a farm at any time, and its hash. */
import type { RunningJobsMax } from "../../coordinator/plan/admission.js";
import type { Farm } from "../../coordinator/plan/farm-state.js";
import { isHeld } from "../../coordinator/plan/job.js";
import {
  FAILED_NODES_MAX,
  FAILURES_MAX,
  NUMERICAL_FAILURES_MAX,
} from "../../coordinator/plan/limits.js";
import { decodeFarm, type FarmPart } from "../../coordinator/plan/snapshot.js";
import { isEnded, membersOf, type Task } from "../../coordinator/plan/task.js";
import { isEnding } from "../../coordinator/plan/task-ending.js";
import { FarmError } from "../../shared/core/errors.js";
import { isTerminal } from "../../shared/farm/job.js";
import { digest } from "./digest.js";
import type { SimSnapshot } from "./journal.js";
import { hold } from "./violation.js";

/** Losses of one node that are remembered, and jobs that failed on it: as many as decide anything. */
const LOSSES_REMEMBERED_MAX = 20;

const SLOTS = ["gpuTaskId", "endingTaskId", "muxTaskId"] as const;

export type Failure = Task["failures"][number];

/** I10 and I13: slots are what grants say, and the queue is what states say. */
export function checkFarm(farm: Farm): void {
  for (const [nodeId, node] of farm.nodes) {
    for (const slot of SLOTS) {
      const taskId = node[slot];
      if (taskId === null) continue;
      const task = farm.tasks.get(taskId);
      const isGranted = task && membersOf(task).some((member) => member.nodeId === nodeId);
      hold(
        isGranted === true,
        "I10",
        () => `${slot} of ${nodeId} holds ${taskId}, not granted to it`,
      );
      const right = (task!.stage === "mux") === (slot === "muxTaskId");
      hold(right, "I10", () => `${slot} of ${nodeId} holds ${taskId}`);
    }
  }
  const waiting = new Set<string>();
  for (const { taskId } of farm.ready.inOrder(() => 0)) waiting.add(taskId);
  let ready = 0;
  for (const task of farm.tasks.values()) {
    checkSlots(farm, task);
    if (isEnded(task)) continue;
    const job = farm.jobs.get(task.jobId);
    const isOver = job !== undefined && isTerminal(job.state);
    hold(
      !isOver,
      "I8",
      () => `${task.taskId} of a job that is ${job?.state} is ${task.state.kind}`,
    );
    if (task.state.kind !== "ready") continue;
    if (!job || isHeld(job) || isTerminal(job.state)) continue;
    ready += 1;
    hold(waiting.has(task.taskId), "I13", () => `${task.taskId} is ready and not queued`);
  }
  hold(waiting.size === ready, "I13", () => `${waiting.size} tasks queued, ${ready} are ready`);
  hold(farm.ready.size === waiting.size, "I13", () => "the queue miscounts");
}

/** I15, once those that may are let in. */
export function checkAdmission(farm: Farm, runningJobsMax: RunningJobsMax = () => null): void {
  const counts = new Map<string, number>();
  const waiting: string[] = [];
  for (const job of farm.jobs.values()) {
    if (isTerminal(job.state)) continue;
    if (job.admitted) counts.set(job.owner, (counts.get(job.owner) ?? 0) + 1);
    else waiting.push(job.jobId);
  }
  for (const [owner, count] of counts) {
    const max = runningJobsMax(owner) ?? count;
    hold(count <= max, "I15", () => `${count} jobs of ${owner} are worked on, ${max} may`);
    const counted = farm.admittedCounts.get(owner);
    hold(counted === count, "I15", () => `${counted} jobs of ${owner} are counted, not ${count}`);
  }
  const isKnown = waiting.every((jobId) => farm.unadmittedJobIds.has(jobId));
  const isSame = isKnown && waiting.length === farm.unadmittedJobIds.size;
  hold(isSame && counts.size === farm.admittedCounts.size, "I15", () => "jobs are miscounted");
}

function checkSlots(farm: Farm, task: Task): void {
  for (const { nodeId } of membersOf(task)) {
    const node = farm.nodes.get(nodeId);
    const right = slotOf(task, nodeId);
    for (const slot of SLOTS) {
      const isHeld = node?.[slot] === task.taskId;
      const at = () => `${task.taskId} is granted to ${nodeId}, whose ${slot}`;
      hold(isHeld === (slot === right), "I10", () => `${at()} holds ${node?.[slot] ?? "nothing"}`);
    }
  }
}

function slotOf(task: Task, nodeId: string): (typeof SLOTS)[number] {
  if (task.stage === "mux") return "muxTaskId";
  return isEnding(task, nodeId) ? "endingTaskId" : "gpuTaskId";
}

/** I5 of what a farm remembers. */
export function checkBounds(farm: Farm): void {
  for (const [nodeId, { lostAtMs, failedJobIds }] of farm.nodeRecords) {
    const size = Math.max(lostAtMs.length, failedJobIds.length);
    hold(size <= LOSSES_REMEMBERED_MAX, "I5", () => `${size} things remembered of ${nodeId}`);
  }
}

/** The farm that a snapshot stands for. */
export function farmOf(snapshot: Pick<SimSnapshot, "lines">): Farm {
  return decodeFarm(snapshot.lines.map((line) => JSON.parse(line) as FarmPart));
}

/** Whether a task with these failures may not be tried again; written apart from production. */
export function isSpent(failures: readonly Failure[]): boolean {
  // A node without memory enough says nothing of the task.
  const blaming = failures.filter(({ code }) => code !== "out-of-memory");
  const nodes = new Set(blaming.map((failure) => failure.nodeId));
  const last = failures.at(-1);
  return (
    failures.length >= FAILURES_MAX ||
    nodes.size >= FAILED_NODES_MAX ||
    failures.filter(({ code }) => code === "numerical").length >= NUMERICAL_FAILURES_MAX ||
    (last !== undefined && new FarmError(last.code, "").retry === "never")
  );
}

/** Of everything a farm knows; equal farms have equal hashes. */
export function farmHash(farm: Farm): string {
  const jobs = [...farm.jobs.values()];
  const owners = [...new Set(jobs.map((job) => job.owner))];
  const usage = [
    ...jobs.map((job) => farm.usage.ofJob(job.jobId)),
    ...owners.map((owner) => farm.usage.ofOwner(owner)),
    ...(["condition", "denoise", "decode", "mux"] as const).map((s) => farm.usage.ofStage(s)),
  ];
  const all = [
    jobs,
    [...farm.tasks.values()],
    [...farm.nodes.values()],
    [...farm.nodeRecords],
    [...farm.ready.inOrder(() => 0)],
    [...farm.jobIdByRequestId],
    [...farm.notDueJobIds],
    [...farm.outgrown],
    [...farm.unadmittedJobIds],
    [...farm.admittedCounts],
    [...farm.waitingJobIds],
    [...farm.learned.entries()],
    [...farm.learned.memoryEntries()],
    farm.openJobCount,
    usage,
  ];
  return digest(JSON.stringify(all, comparable));
}

/** A farm from a snapshot has the same fields in another order. */
function comparable(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
