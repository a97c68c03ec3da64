/**
 * @file What becomes of a task that ran out of memory: where it may be tried again, how long it waits
 * for that, or what helps.
 */
import { formatBytes } from "../../shared/core/bytes.js";
import type { Farm } from "./farm-state.js";
import { recordOf } from "./farm-state.js";
import type { Job } from "./job.js";
import { jobById, taskById } from "./job-machine.js";
import { BIGGER_NODE_MS_MAX } from "./limits.js";
import type { Node } from "./node.js";
import { refusalOf } from "./node-machine.js";
import type { Task, TaskFailure } from "./task.js";
import type { MemoryVerdict } from "./task-failures.js";
import { workKindOf } from "./work-kind.js";

/**
 * Where a task that ran out of memory on a node may be tried again.
 *
 * Where work of its shape is known to fit into as much memory, the node is at fault and any other one
 * will do. Otherwise only a node with more memory helps, also one that is busy or held down now.
 */
export function judgeMemory(
  farm: Farm,
  task: Task,
  nodeId: string,
  failure: TaskFailure,
  atMs: number,
): MemoryVerdict | null {
  const node = farm.nodes.get(nodeId);
  const job = farm.jobs.get(task.jobId);
  if (failure.code !== "out-of-memory" || !node || !job) return null;
  const { memoryBytes: bytes, provider } = node.info;
  if (farm.learned.isKnownToFit(workKindOf(job, task, { provider }), bytes)) {
    return { retryOn: "any-node" };
  }
  const aboveBytes = Math.max(bytes, task.memoryAboveBytes ?? 0);
  if (hasBigger(farm, job, aboveBytes, atMs)) return { retryOn: "bigger-node", aboveBytes };
  const place = `${task.stage} ran out of memory on node ${nodeId} (${formatBytes(bytes)})`;
  const detail = `${place}, and no node of the farm has more; ${adviceFor(job, task)}: ${failure.detail}`;
  return { retryOn: "none", aboveBytes, detail };
}

/** Keeps since when each waiting task has waited for a node that is not there; after every event. */
export function noteOutgrown(farm: Farm, atMs: number): void {
  // Tasks of one batch have outgrown the same node: its farm is looked through once.
  const known = new Map<string, boolean>();
  for (const [taskId, sinceMs] of farm.outgrown) {
    const { jobId, memoryAboveBytes } = taskById(farm, taskId);
    const job = jobById(farm, jobId);
    const key = `${job.modelDigest} ${memoryAboveBytes}`;
    const isThere = known.get(key) ?? hasBigger(farm, job, memoryAboveBytes ?? 0, atMs);
    known.set(key, isThere);
    // A clock that was set back must not make the wait longer.
    const isNew = sinceMs === null || sinceMs > atMs;
    if (isThere) farm.outgrown.set(taskId, null);
    else if (isNew) farm.outgrown.set(taskId, atMs);
  }
}

/** What is said of a task that has waited for a bigger node for as long as it may. */
export function outgrownFailure(job: Job, task: Task): TaskFailure {
  const bytes = formatBytes(task.memoryAboveBytes ?? 0);
  const minutes = BIGGER_NODE_MS_MAX / 60_000;
  const detail =
    `${task.stage} ran out of memory on a node with ${bytes}, and for ${minutes} minutes no node of ` +
    `the farm has had more; ${adviceFor(job, task)}`;
  return { code: "out-of-memory", detail };
}

function hasBigger(farm: Farm, job: Job, aboveBytes: number, atMs: number): boolean {
  const isBigger = (node: Node) =>
    node.info.memoryBytes > aboveBytes && mayServe(farm, node, job, atMs);
  return [...farm.nodes.values()].some(isBigger);
}

/** Whether the node takes work of the job now or will do so by itself. */
function mayServe(farm: Farm, { info, stopping }: Node, job: Job, atMs: number): boolean {
  if (stopping || info.model.digest !== job.modelDigest) return false;
  const refusal = refusalOf(recordOf(farm, info.nodeId), atMs);
  return refusal === null || refusal === "held down";
}

/** Chunks are windows in time, so that another size gives other pixels: that is for users to choose. */
function adviceFor({ parameters }: Job, { stage }: Task): string {
  const { height, width, numFrames, decodeChunkSize } = parameters;
  const node = "or add a node with more memory and retry the job";
  if (stage === "mux") return `submit it with fewer formats, ${node}`;
  if (stage === "decode" && decodeChunkSize > 1) {
    const smaller = Math.floor(decodeChunkSize / 2);
    return (
      `submit it with decode_chunk_size ${smaller} in place of ${decodeChunkSize}, which changes ` +
      `the pixels where chunks meet, ${node}`
    );
  }
  const frames = stage === "denoise" ? ` or fewer frames than ${numFrames}` : "";
  return `submit it with a smaller height and width than ${height} x ${width}${frames}, ${node}`;
}
