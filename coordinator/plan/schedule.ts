/**
 * @file The scheduler: a snapshot of the farm in, a plan out.
 *
 * Work-conserving: no accelerator idles beside ready work that it could do. The order of the work is
 * the queue's (priority, stage, fairness between owners); here it is matched with nodes: single or
 * pair, and whom to ask to give its node back at the next step.
 */
import { clipParametersOf, isGuided } from "../../shared/farm/parameters.js";
import type { GuidanceHalf } from "../../shared/farm/work.js";
import type { Farm } from "./farm-state.js";
import { recordOf } from "./farm-state.js";
import type { Job } from "./job.js";
import { PAIR_APART_MS } from "./limits.js";
import type { Node } from "./node.js";
import { refusalOf } from "./node-machine.js";
import type { ReadyTask } from "./ready-queue.js";
import type { Member, Task } from "./task.js";
import { membersOf } from "./task.js";

/** A task and the nodes that are to work on it. */
export interface Grant {
  readonly taskId: string;
  readonly members: readonly Member[];
}

export interface SchedulePolicy {
  /** Accelerators that one owner may hold at a time; null: all. */
  readonly ownerAcceleratorsMax: number | null;
}

export interface Plan {
  readonly grants: readonly Grant[];
  /** Running denoise tasks that are to stop at their next step boundary. */
  readonly yields: readonly string[];
}

const HALVES: readonly GuidanceHalf[] = ["uncond", "cond"];
const NOTHING: Plan = { grants: [], yields: [] };

/** Everything that can be decided now. Tasks that cannot be placed are simply not in it. */
export function planFarm(farm: Farm, policy: SchedulePolicy, nowMs: number): Plan {
  if (farm.nodes.size === 0) return NOTHING;
  const placing = new Placing(farm, policy, nowMs);
  const unplaced = placing.placeReady();
  const yields = [...planPreemption(farm, unplaced, nowMs), ...planPairing(farm, placing)];
  return { grants: placing.grants, yields };
}

/** One pass over the queue, with the nodes that are still free and what each owner holds. */
class Placing {
  readonly grants: Grant[] = [];
  /** Accelerators that nothing was found for. */
  readonly idle: Set<Node>;
  readonly nowMs: number;
  readonly #idleMux: Set<Node>;
  readonly #usable: readonly Node[];
  readonly #held: Map<string, number>;
  readonly #farm: Farm;
  readonly #policy: SchedulePolicy;
  /** Clips that could each use one accelerator now: only what is left over makes pairs. */
  #waiting: number;

  constructor(farm: Farm, policy: SchedulePolicy, nowMs: number) {
    this.#farm = farm;
    this.#policy = policy;
    this.nowMs = nowMs;
    this.#usable = usableNodes(farm, nowMs);
    this.idle = new Set(this.#usable.filter((node) => node.gpuTaskId === null));
    this.#idleMux = new Set(this.#usable.filter((node) => node.muxTaskId === null));
    this.#held = heldAccelerators(farm);
    this.#waiting = farm.ready.countStage("denoise") + farm.ready.countStage("condition");
  }

  /** @returns tasks that found no accelerator, in order */
  placeReady(): ReadyTask[] {
    const unplaced: ReadyTask[] = [];
    let muxLeft = this.#farm.ready.countStage("mux");
    for (const ready of this.#farm.ready.inOrder((owner) => this.#held.get(owner) ?? 0)) {
      const noMux = muxLeft === 0 || this.#idleMux.size === 0;
      if (this.idle.size === 0 && noMux && unplaced.length > 0) break;
      if (ready.stage === "mux") muxLeft -= 1;
      const grant = this.#place(ready);
      if (ready.stage === "denoise" || ready.stage === "condition") this.#waiting -= 1;
      if (grant) this.grants.push(grant);
      else if (ready.stage !== "mux") unplaced.push(ready);
    }
    return unplaced;
  }

  #place(ready: ReadyTask): Grant | null {
    const task = this.#farm.tasks.get(ready.taskId)!;
    const job = this.#farm.jobs.get(task.jobId)!;
    if (ready.stage === "mux") return this.#single(job, task, this.#idleMux);
    const held = this.#held.get(ready.owner) ?? 0;
    const limit = this.#policy.ownerAcceleratorsMax ?? Number.POSITIVE_INFINITY;
    if (held >= limit) return null;
    const grant =
      ready.stage === "denoise"
        ? this.#denoise(job, task, limit - held)
        : this.#single(job, task, this.idle);
    if (grant) this.#held.set(ready.owner, held + grant.members.length);
    return grant;
  }

  #single(job: Job, task: Task, free: Set<Node>): Grant | null {
    const node = preferred(
      task,
      [...free].filter((n) => canRun(n, job, task)),
    );
    if (!node) return null;
    free.delete(node);
    return { taskId: task.taskId, members: [{ nodeId: node.info.nodeId, half: null }] };
  }

  /** One node or two: the policy of the job decides, and for "auto" the length of the queue. */
  #denoise(job: Job, task: Task, allowed: number): Grant | null {
    const { pair } = job.parameters;
    if (pair === "never" || !isGuidedTask(job, task) || allowed < 2) {
      return this.#single(job, task, this.idle);
    }
    const partners = findPair(job, task, [...this.idle], this.nowMs);
    if (!partners) {
      // "always" waits for a second node only while the farm has one that could join.
      const couldPair = findPair(job, task, this.#usable, this.nowMs) !== null;
      return pair === "always" && couldPair ? null : this.#single(job, task, this.idle);
    }
    const spare = this.idle.size - this.#waiting;
    if (pair === "auto" && spare < 1) return this.#single(job, task, this.idle);
    for (const node of partners) this.idle.delete(node);
    const members = partners.map((node, i) => ({ nodeId: node.info.nodeId, half: HALVES[i]! }));
    return { taskId: task.taskId, members };
  }
}

/**
 * Running denoise tasks of lower priority, one for each waiting task of a higher one that no
 * accelerator is free for; the lowest priority gives way first.
 */
function planPreemption(farm: Farm, unplaced: readonly ReadyTask[], nowMs: number): string[] {
  if (unplaced.length === 0) return [];
  const usable = new Set(usableNodes(farm, nowMs).map((node) => node.info.nodeId));
  const running = runningDenoise(farm)
    .filter(({ task }) => membersOf(task).every(({ nodeId }) => usable.has(nodeId)))
    .sort((a, b) => a.job.priority - b.job.priority);
  // A node that was asked already will be free at its next step.
  let coming = running.filter(({ yielding }) => yielding).length;
  const yields: string[] = [];
  for (const waiting of unplaced) {
    if (coming > 0) {
      coming -= 1;
      continue;
    }
    const victim = running.find(
      ({ task, job, yielding }) =>
        !yielding && job.priority < waiting.priority && !yields.includes(task.taskId),
    );
    if (!victim) break;
    yields.push(victim.task.taskId);
  }
  return yields;
}

/**
 * A clip that is denoised by one node while another one idles beside an empty queue goes on as a
 * pair: it gives its node back at the next step, and both are granted together from there.
 */
function planPairing(farm: Farm, placing: Placing): string[] {
  if (farm.ready.size > placing.grants.length || placing.idle.size === 0) return [];
  const idle = new Set(placing.idle);
  return runningDenoise(farm).flatMap(({ task, job, yielding }) => {
    const members = membersOf(task);
    const { pair } = job.parameters;
    if (yielding || members.length !== 1 || pair === "never" || !isGuidedTask(job, task)) return [];
    // A node may come and go: a clip is paired anew once, not at every coming.
    if (task.plans.filter((plan) => plan === "pair").length > 1) return [];
    const runner = farm.nodes.get(members[0]!.nodeId)!;
    const partner = [...idle].find(
      (n) => canRun(n, job, task) && canPair(runner, n, placing.nowMs),
    );
    if (!partner) return [];
    idle.delete(partner);
    return [task.taskId];
  });
}

/** Clips of one job may differ in this. */
function isGuidedTask(job: Job, task: Task): boolean {
  return isGuided(clipParametersOf(job.parameters, task.clipIndex));
}

function runningDenoise(farm: Farm): { task: Task; job: Job; yielding: boolean }[] {
  const taskIds = [...farm.nodes.values()].map((node) => node.gpuTaskId);
  return [...new Set(taskIds)].flatMap((taskId) => {
    const task = taskId === null ? undefined : farm.tasks.get(taskId);
    if (task?.stage !== "denoise" || task.state.kind !== "granted") return [];
    return [{ task, job: farm.jobs.get(task.jobId)!, yielding: task.state.yielding }];
  });
}

function usableNodes(farm: Farm, nowMs: number): Node[] {
  return [...farm.nodes.values()].filter(
    (node) => !node.stopping && refusalOf(recordOf(farm, node.info.nodeId), nowMs) === null,
  );
}

/** Accelerators by owner. */
function heldAccelerators(farm: Farm): Map<string, number> {
  const held = new Map<string, number>();
  for (const { gpuTaskId } of farm.nodes.values()) {
    const task = gpuTaskId === null ? undefined : farm.tasks.get(gpuTaskId);
    const owner = task && farm.jobs.get(task.jobId)?.owner;
    if (owner !== undefined) held.set(owner, (held.get(owner) ?? 0) + 1);
  }
  return held;
}

/** Two nodes whose runs give equal bytes, or null. */
function findPair(
  job: Job,
  task: Task,
  nodes: readonly Node[],
  nowMs: number,
): [Node, Node] | null {
  const able = nodes.filter((node) => canRun(node, job, task));
  for (const first of able) {
    const second = able.find((n) => n !== first && canPair(first, n, nowMs));
    if (second) return [first, second];
  }
  return null;
}

/** Whether the runs of two nodes give equal bytes, and their halves reached each other lately. */
function canPair(a: Node, b: Node, nowMs: number): boolean {
  const isApart = (from: Node, to: Node) =>
    from.apart.some(
      ({ nodeId, atMs }) => nodeId === to.info.nodeId && nowMs - atMs < PAIR_APART_MS,
    );
  return a.info.planHash === b.info.planHash && !(isApart(a, b) && isApart(b, a));
}

function canRun(node: Node, job: Job, task: Task): boolean {
  if (node.info.model.digest !== job.modelDigest) return false;
  const needsFfmpeg = task.stage === "mux" && job.parameters.formats.includes("mp4");
  return node.info.hasFfmpeg || !needsFfmpeg;
}

/** A node on which the task has not failed yet, else any: a farm of one node may try again. */
function preferred(task: Task, nodes: readonly Node[]): Node | undefined {
  const failed = new Set(task.failures.map((failure) => failure.nodeId));
  return nodes.find((n) => !failed.has(n.info.nodeId)) ?? nodes[0];
}
