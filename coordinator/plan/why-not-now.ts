/** @file Why nothing of a job is worked on now, in words for its owner. Pure. */
import { formatBytes } from "../../shared/core/bytes.js";
import { isTerminal, type JobOptions } from "../../shared/farm/job.js";
import { unadmittedReason } from "./admission.js";
import { canRun } from "./choose-node.js";
import type { Farm } from "./farm-state.js";
import { recordOf } from "./farm-state.js";
import type { Job } from "./job.js";
import { tasksOf } from "./job-machine.js";
import { BIGGER_NODE_MS_MAX } from "./limits.js";
import type { Node } from "./node.js";
import { refusalOf } from "./node-machine.js";
import type { Task } from "./task.js";

/** Nodes or jobs that a reason names. */
const NAMED_MAX = 5;

/** @returns [] while a node works on it, and after its end */
export function whyNotNow(farm: Farm, job: Job, nowMs: number): string[] {
  if (isTerminal(job.state)) return [];
  const tasks = job.clips.flatMap((clip) => tasksOf(farm, clip));
  if (tasks.some((task) => task.state.kind === "granted")) return [];
  const { paused, due, startAfterMs, waitsFor } = job;
  const held = [
    ...(paused ? ["it is paused"] : []),
    ...holdReasons({ startAfterMs: due ? null : startAfterMs, waitsFor }, nowMs),
  ];
  if (held.length > 0) return held;
  if (!job.admitted) return [unadmittedReason(farm, job.owner)];
  const ready = tasks.filter((task) => task.state.kind === "ready");
  // The last files are made, and their manifest is on its way.
  if (ready.length === 0) return ["its files are being published"];
  return nodeReasons(farm, job, ready[0]!, nowMs);
}

/** What keeps a job from starting whatever nodes there are. */
export function holdReasons(
  { startAfterMs, waitsFor }: Pick<JobOptions, "startAfterMs"> & Pick<Job, "waitsFor">,
  nowMs: number,
): string[] {
  return [
    ...(startAfterMs !== null && startAfterMs > nowMs ? ["its start time has not come"] : []),
    ...(waitsFor.length > 0 ? [`it waits for ${named(waitsFor)}`] : []),
  ];
}

/** Such work waits for as long as it takes, like any other in the queue: a deadline bounds it. */
function nodeReasons(farm: Farm, job: Job, task: Task, nowMs: number): string[] {
  const serving = [...farm.nodes.values()].filter((n) => n.info.model.digest === job.modelDigest);
  if (serving.length === 0) return [`no connected node serves its checkpoint, ${job.modelName}`];
  const usable = serving.filter((node) => refusalToWork(farm, node, nowMs) === null);
  if (usable.length === 0) {
    const each = serving.map((n) => `${n.info.nodeId} is ${refusalToWork(farm, n, nowMs)}`);
    return [`no node may have work: ${named(each)}`];
  }
  const able = usable.filter((node) => canRun(node, job, task));
  if (able.length > 0) {
    const isIdle = able.some((n) => (task.stage === "mux" ? n.muxTaskId : n.gpuTaskId) === null);
    return [isIdle ? "it is not its turn" : "every node that could work on it is busy"];
  }
  const { memoryAboveBytes: bytes, stage } = task;
  if (bytes === null) return ["no such node can write mp4"];
  const sinceMs = farm.outgrown.get(task.taskId) ?? nowMs;
  const until = new Date(sinceMs + BIGGER_NODE_MS_MAX).toISOString();
  return [
    `its ${stage} waits for a node with more memory than ${formatBytes(bytes)}, until ${until}`,
  ];
}

function refusalToWork(farm: Farm, { info, stopping }: Node, nowMs: number): string | null {
  return stopping ? "stopping" : refusalOf(recordOf(farm, info.nodeId), nowMs);
}

function named(each: readonly string[]): string {
  const others = each.length - NAMED_MAX;
  return [...each.slice(0, NAMED_MAX), ...(others > 0 ? [`${others} more`] : [])].join(", ");
}
