/**
 * @file The scheduler: a snapshot of the farm in, a plan out.
 *
 * Work-conserving: no accelerator idles beside ready work that it could do. The order of the work is
 * the queue's (priority, stage, fairness between owners); here it is matched with nodes: single or
 * pair, and whom to ask to give its node back at the next step.
 */
import { clipParametersOf, isGuided } from "../../shared/farm/parameters.js";
import type { GuidanceHalf, Stage } from "../../shared/farm/work.js";
import type { RunningJobsMax } from "./admission.js";
import { canPair, canRun, findPair, hasFailedOn, misfitOf, rankNodes } from "./choose-node.js";
import type { Farm } from "./farm-state.js";
import { recordOf } from "./farm-state.js";
import type { Job } from "./job.js";
import type { Node } from "./node.js";
import { refusalOf } from "./node-machine.js";
import { latentsStoredBy, mayOvertake } from "./overtaking.js";
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
  /** Absent: everybody as many as come. */
  readonly runningJobsMax?: RunningJobsMax;
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
  const glance = glanceAt(farm, nowMs);
  const placing = new Placing(farm, policy, glance, nowMs);
  const unplaced = placing.placeReady();
  const yields = [...planPreemption(farm, unplaced, glance), ...planPairing(farm, placing, glance)];
  return { grants: placing.grants, yields };
}

interface Running {
  readonly task: Task;
  readonly job: Job;
  readonly yielding: boolean;
}

/** What a plan needs to know of all nodes: one look at each, since there may be thousands. */
interface Glance {
  /** Nodes that may have work. */
  readonly usable: readonly Node[];
  /** Denoise tasks under way. */
  readonly running: readonly Running[];
  /** Accelerators by owner. */
  readonly held: Map<string, number>;
}

function glanceAt(farm: Farm, nowMs: number): Glance {
  const usable: Node[] = [];
  const running = new Map<string, Running>();
  const held = new Map<string, number>();
  for (const node of farm.nodes.values()) {
    const isRefused = refusalOf(recordOf(farm, node.info.nodeId), nowMs) !== null;
    if (!node.stopping && !isRefused) usable.push(node);
    const task = node.gpuTaskId === null ? undefined : farm.tasks.get(node.gpuTaskId);
    const job = task && farm.jobs.get(task.jobId);
    if (!job) continue;
    held.set(job.owner, (held.get(job.owner) ?? 0) + 1);
    if (task.stage !== "denoise" || task.state.kind !== "granted") continue;
    running.set(task.taskId, { task, job, yielding: task.state.yielding });
  }
  return { usable, running: [...running.values()], held };
}

/** One pass over the queue, with the nodes that are still free and what each owner holds. */
class Placing {
  readonly grants: Grant[] = [];
  /** Accelerators that nothing was found for. */
  readonly idle: Set<Node>;
  readonly nowMs: number;
  readonly #idleMux: Set<Node>;
  readonly #placed = new Set<string>();
  readonly #usable: readonly Node[];
  readonly #held: Map<string, number>;
  readonly #farm: Farm;
  readonly #policy: SchedulePolicy;
  /** Clips that could each use one accelerator now: only what is left over makes pairs. */
  #waiting: number;
  #muxLeft: number;

  constructor(farm: Farm, policy: SchedulePolicy, { usable, held }: Glance, nowMs: number) {
    this.#farm = farm;
    this.#policy = policy;
    this.nowMs = nowMs;
    this.#usable = usable;
    this.idle = new Set(this.#usable.filter((node) => node.gpuTaskId === null));
    this.#idleMux = new Set(this.#usable.filter((node) => node.muxTaskId === null));
    this.#held = held;
    this.#waiting = farm.ready.countStage("denoise") + farm.ready.countStage("condition");
    this.#muxLeft = farm.ready.countStage("mux");
  }

  /** @returns tasks that found no accelerator, in order */
  placeReady(): ReadyTask[] {
    const unplaced: ReadyTask[] = [];
    for (const priority of this.#farm.ready.priorities()) {
      if (this.#wantsOwnFirst()) this.#placeOwn(priority);
      if (!this.#placeAny(priority, unplaced)) break;
    }
    return unplaced;
  }

  /** While both kinds wait, a node that prefers one of them takes that one first. */
  #wantsOwnFirst(): boolean {
    const { ready } = this.#farm;
    const waits = (stage: Stage) => ready.countStage(stage) > 0;
    if (!waits("decode") || !(waits("denoise") || waits("condition"))) return false;
    return [...this.idle].some((node) => node.info.prefers !== "any");
  }

  /** Tasks of a priority on nodes that would not rather do something else. */
  #placeOwn(priority: number): void {
    for (const ready of this.#inOrder(priority)) {
      if (this.idle.size === 0) return;
      if (ready.stage === "mux") continue;
      const own = [...this.idle].filter((n) => misfitOf(n.info.prefers, ready.stage) < 2);
      const grant = own.length > 0 ? this.#place(ready, new Set(own)) : null;
      if (grant) this.#note(ready, grant);
    }
  }

  /**
   * The tasks of a priority that are left, on whatever node can do them.
   *
   * @returns false when nothing more can be placed, and it is known that something waits
   */
  #placeAny(priority: number, unplaced: ReadyTask[]): boolean {
    for (const ready of this.#inOrder(priority)) {
      if (this.#placed.has(ready.taskId)) continue;
      const noMux = this.#muxLeft === 0 || this.#idleMux.size === 0;
      if (this.idle.size === 0 && noMux && unplaced.length > 0) return false;
      const grant = this.#place(ready, this.idle);
      if (grant) this.#note(ready, grant);
      else {
        this.#count(ready);
        if (ready.stage !== "mux") unplaced.push(ready);
      }
    }
    return true;
  }

  #inOrder(priority: number): Generator<ReadyTask> {
    return this.#farm.ready.inOrder((owner) => this.#held.get(owner) ?? 0, [priority]);
  }

  #note(ready: ReadyTask, grant: Grant): void {
    this.#placed.add(ready.taskId);
    this.#count(ready);
    this.grants.push(grant);
    for (const { nodeId } of grant.members) {
      const node = this.#farm.nodes.get(nodeId)!;
      (ready.stage === "mux" ? this.#idleMux : this.idle).delete(node);
    }
    if (ready.stage === "mux") return;
    const held = this.#held.get(ready.owner) ?? 0;
    this.#held.set(ready.owner, held + grant.members.length);
  }

  /** One task less that waits, placed or not. */
  #count({ stage }: ReadyTask): void {
    if (stage === "mux") this.#muxLeft -= 1;
    else if (stage !== "decode") this.#waiting -= 1;
  }

  #place(ready: ReadyTask, free: ReadonlySet<Node>): Grant | null {
    const task = this.#farm.tasks.get(ready.taskId)!;
    const job = this.#farm.jobs.get(task.jobId)!;
    if (ready.stage === "mux") return this.#single({ job, task }, this.#idleMux);
    const held = this.#held.get(ready.owner) ?? 0;
    const limit = this.#policy.ownerAcceleratorsMax ?? Number.POSITIVE_INFINITY;
    if (held >= limit) return null;
    if (ready.stage !== "denoise") return this.#single({ job, task }, free);
    const willing = [...free].filter((node) => mayOvertake(this.#farm, { job, task }, node));
    return this.#denoise({ job, task }, new Set(willing), limit - held);
  }

  #rank(what: { job: Job; task: Task }, free: Iterable<Node>): Node[] {
    return rankNodes(this.#farm, what, { free, all: this.#usable, nowMs: this.nowMs });
  }

  #single(what: { job: Job; task: Task }, free: ReadonlySet<Node>): Grant | null {
    const [best] = this.#rank(what, free);
    if (!best) return null;
    return { taskId: what.task.taskId, members: [{ nodeId: best.info.nodeId, half: null }] };
  }

  /** One node or two: the policy of the job decides, and for "auto" the length of the queue. */
  #denoise(what: { job: Job; task: Task }, free: ReadonlySet<Node>, allowed: number): Grant | null {
    const { pair } = what.job.parameters;
    if (pair === "never" || !isGuidedTask(what.job, what.task) || allowed < 2)
      return this.#single(what, free);
    const partners = findPair(this.#rank(what, free), this.nowMs);
    if (!partners) {
      // "always" waits for a second node only while the farm has one that could join.
      const couldPair = findPair(this.#rank(what, this.#usable), this.nowMs) !== null;
      return pair === "always" && couldPair ? null : this.#single(what, free);
    }
    const isSpare = (node: Node) => latentsStoredBy(this.#farm, node) === null;
    const spare = [...this.idle].filter(isSpare).length - this.#waiting;
    if (pair === "auto" && spare < 1) return this.#single(what, free);
    const members = partners.map((node, i) => ({ nodeId: node.info.nodeId, half: HALVES[i]! }));
    return { taskId: what.task.taskId, members };
  }
}

/**
 * Running denoise tasks of lower priority, one for each waiting task of a higher one that no
 * accelerator is free for; the lowest priority gives way first.
 */
function planPreemption(farm: Farm, unplaced: readonly ReadyTask[], glance: Glance): string[] {
  // The first of them has the highest priority.
  const urgent = unplaced[0]?.priority ?? 0;
  if (!glance.running.some(({ job }) => job.priority < urgent)) return [];
  const usable = new Set(glance.usable.map((node) => node.info.nodeId));
  const running = glance.running
    .filter(({ task }) => membersOf(task).every(({ nodeId }) => usable.has(nodeId)))
    .sort((a, b) => a.job.priority - b.job.priority);
  // A node that was asked already will be free at its next step.
  const coming = running.filter(({ yielding }) => yielding);
  const victims = running.filter(({ yielding }) => !yielding);
  const yields: string[] = [];
  for (const waiting of unplaced) {
    const lower = victims.filter(({ job }) => job.priority < waiting.priority);
    if (coming.length === 0 && lower.length === 0) break;
    const serves = servesTask(farm, waiting);
    const next = coming.find(serves);
    const victim = next ? undefined : lower.find(serves);
    if (next) coming.splice(coming.indexOf(next), 1);
    if (victim) yields.push(victims.splice(victims.indexOf(victim), 1)[0]!.task.taskId);
  }
  return yields;
}

/** Whether the waiting task could be done by a node that is taken from a running one. */
function servesTask(farm: Farm, { taskId }: ReadyTask): (running: { task: Task }) => boolean {
  const task = farm.tasks.get(taskId)!;
  const job = farm.jobs.get(task.jobId)!;
  return (running) =>
    membersOf(running.task).some(({ nodeId }) => canRun(farm.nodes.get(nodeId)!, job, task));
}

/**
 * A clip that is denoised by one node while another one idles beside an empty queue goes on as a
 * pair: it gives its node back at the next step, and both are granted together from there.
 */
function planPairing(farm: Farm, placing: Placing, { running }: Glance): string[] {
  if (farm.ready.size > placing.grants.length || placing.idle.size === 0) return [];
  // What a node stores will bring it work in a moment.
  const idle = new Set([...placing.idle].filter((node) => node.endingTaskId === null));
  return running.flatMap(({ task, job, yielding }) => {
    const members = membersOf(task);
    const { pair } = job.parameters;
    if (yielding || members.length !== 1 || pair === "never" || !isGuidedTask(job, task)) return [];
    // A node may come and go: a clip is paired anew once, not at every coming.
    if (task.plans.filter((plan) => plan === "pair").length > 1) return [];
    const runner = farm.nodes.get(members[0]!.nodeId)!;
    const partner = [...idle].find(
      (n) =>
        canRun(n, job, task) &&
        canPair(runner, n, placing.nowMs) &&
        !hasFailedOn(task, n.info.nodeId),
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
