/**
 * @file The scheduler: a snapshot of the farm in, grants out.
 *
 * Work-conserving: no accelerator idles beside ready work it could do. Finishing comes first (mux,
 * then decode, then denoise, then condition), so clips leave the farm as early as they can and the
 * decode chunks of one clip spread over idle nodes while other nodes denoise the next clip.
 */

import { isGuided } from "../../shared/farm/parameters.js";
import type { GuidanceHalf, Stage } from "../../shared/farm/work.js";
import type { Farm } from "./farm.js";
import type { Job } from "./job.js";
import type { Node } from "./node.js";
import type { Member, Task } from "./task.js";

/** A task and the nodes that are to work on it. */
export interface Grant {
  readonly taskId: string;
  readonly members: readonly Member[];
}

const STAGE_ORDER: readonly Stage[] = ["mux", "decode", "denoise", "condition"];
const HALVES: readonly GuidanceHalf[] = ["uncond", "cond"];

/** Every grant that can be made now. Tasks that cannot be placed are simply not in it. */
export function planGrants(farm: Farm): Grant[] {
  if (farm.readyTaskIds.size === 0 || farm.nodes.size === 0) return [];
  const ready = [...farm.readyTaskIds].map((taskId) => farm.tasks.get(taskId)!);
  const nodes = [...farm.nodes.values()];
  const idle = new Set(nodes.filter((node) => node.gpuTaskId === null));
  const idleMux = new Set(nodes.filter((node) => node.muxTaskId === null));
  const grants: Grant[] = [];
  // Clips that could each use one accelerator now: only what is left over makes pairs.
  let waiting = ready.filter((t) => t.stage === "denoise" || t.stage === "condition").length;
  for (const stage of STAGE_ORDER) {
    const free = stage === "mux" ? idleMux : idle;
    for (const task of ready.filter((t) => t.stage === stage)) {
      if (free.size === 0) break;
      const job = farm.jobs.get(task.jobId)!;
      if (stage !== "denoise") {
        grants.push(...grantSingle(job, task, free));
        continue;
      }
      grants.push(...grantDenoise(farm, job, task, idle, idle.size - waiting));
      waiting -= 1;
    }
  }
  return grants;
}

function grantSingle(job: Job, task: Task, free: Set<Node>): Grant[] {
  const node = preferred(
    task,
    [...free].filter((n) => canRun(n, job, task)),
  );
  if (!node) return [];
  free.delete(node);
  return [{ taskId: task.taskId, members: [{ nodeId: node.info.nodeId, half: null }] }];
}

/**
 * One node or two: the policy of the job decides, and for "auto" the length of the queue.
 *
 * @param spare idle nodes beyond one for every clip that waits
 */
function grantDenoise(farm: Farm, job: Job, task: Task, idle: Set<Node>, spare: number): Grant[] {
  const { pair } = job.parameters;
  if (pair === "never" || !isGuided(job.parameters)) return grantSingle(job, task, idle);
  const partners = findPair(job, task, [...idle]);
  if (!partners) {
    // "always" waits for a second node only while the farm has one that could join.
    const canPair = findPair(job, task, [...farm.nodes.values()]) !== null;
    return pair === "always" && canPair ? [] : grantSingle(job, task, idle);
  }
  if (pair === "auto" && spare < 1) return grantSingle(job, task, idle);
  for (const node of partners) idle.delete(node);
  const members = partners.map((node, i) => ({ nodeId: node.info.nodeId, half: HALVES[i]! }));
  return [{ taskId: task.taskId, members }];
}

/** Two nodes whose runs give equal bytes, or null. */
function findPair(job: Job, task: Task, nodes: readonly Node[]): [Node, Node] | null {
  const able = nodes.filter((node) => canRun(node, job, task));
  for (const first of able) {
    const second = able.find((n) => n !== first && n.info.planHash === first.info.planHash);
    if (second) return [first, second];
  }
  return null;
}

function canRun(node: Node, job: Job, task: Task): boolean {
  if (node.info.model.digest !== job.modelDigest) return false;
  const needsFfmpeg = task.stage === "mux" && job.parameters.formats.includes("mp4");
  return node.info.hasFfmpeg || !needsFfmpeg;
}

/** A node on which the task has not failed yet, else any: a farm of one node may try again. */
function preferred(task: Task, nodes: readonly Node[]): Node | undefined {
  return nodes.find((n) => !task.failedNodeIds.includes(n.info.nodeId)) ?? nodes[0];
}
