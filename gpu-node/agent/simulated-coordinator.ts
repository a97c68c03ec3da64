/**
 * @file For the simulation of denoise machines: what the coordinator's task machine does with the
 * reports of one task, and whom it grants the task to. Its epochs, stale reports, yields and broken
 * pairs are those of coordinator/plan/task.ts.
 */
import type { GuidanceHalf, StepCheckpoint, TaskReport } from "../../shared/farm/work.js";

/** One node's part in a grant. */
export interface Grant {
  readonly epoch: number;
  readonly half: GuidanceHalf | null;
  readonly partnerId: number | null;
  readonly resume: StepCheckpoint | null;
}

export interface CoordinatorWorld {
  /** 0..1. */
  readonly random: () => number;
  readonly later: (delayMs: number, act: () => void) => void;
  readonly assign: (nodeId: number, grant: Grant) => void;
  readonly cancel: (nodeId: number, epoch: number) => void;
  readonly yield: (nodeId: number, epoch: number) => void;
  readonly continueAlone: (nodeId: number, epoch: number, newEpoch: number) => void;
}

/** How long a task that is ready may wait for its next grant. */
const GRANT_MS_MAX = 500;

export class SimulatedCoordinator {
  readonly #world: CoordinatorWorld;
  /** Nodes it believes to live. */
  readonly #nodeIds: Set<number>;
  /** Share of grants that are pairs, 0..1. */
  readonly #pairShare: number;
  #epoch = 0;
  /** [] while the task is ready or done. */
  #members: number[] = [];
  #yielding = false;
  #checkpoint: StepCheckpoint | null = null;
  finisher: number | null = null;
  pairsBroken = 0;
  yields = 0;
  diverged = 0;

  constructor(world: CoordinatorWorld, nodeIds: readonly number[], pairShare: number) {
    this.#world = world;
    this.#nodeIds = new Set(nodeIds);
    this.#pairShare = pairShare;
  }

  get members(): readonly number[] {
    return this.#members;
  }

  /** The latents that the next grant would go on from. */
  get checkpointStep(): number {
    return this.#checkpoint?.step ?? 0;
  }

  grant(): void {
    const free = [...this.#nodeIds].sort(() => this.#world.random() - 0.5);
    const isPair = free.length >= 2 && this.#world.random() < this.#pairShare;
    this.#members = free.slice(0, isPair ? 2 : 1);
    this.#epoch++;
    this.#yielding = false;
    this.#members.forEach((nodeId, index) => {
      const half = isPair ? (["uncond", "cond"] as const)[index]! : null;
      const partnerId = isPair ? this.#members[1 - index]! : null;
      this.#world.assign(nodeId, { epoch: this.#epoch, half, partnerId, resume: this.#checkpoint });
    });
  }

  askToYield(): void {
    if (this.#yielding) return;
    this.#yielding = this.#members.length > 0;
    for (const nodeId of this.#members) this.#world.yield(nodeId, this.#epoch);
  }

  hear(nodeId: number, epoch: number, report: TaskReport): void {
    if (epoch !== this.#epoch || !this.#members.includes(nodeId)) return;
    switch (report.kind) {
      case "progress":
      case "ending":
        return;
      case "checkpointed":
        this.#keep(report.checkpoint);
        return;
      case "finished":
        this.finisher = nodeId;
        this.#leave(nodeId);
        return;
      case "yielded":
        this.yields++;
        this.#keep(report.checkpoint);
        this.#grantAgain(nodeId);
        return;
      case "failed":
        // Latents that are wrong may have been so for some steps: from the start, then.
        if (report.code === "numerical") {
          this.diverged++;
          this.#checkpoint = null;
        }
        this.#grantAgain(nodeId);
        return;
      case "pair-broken":
        this.#breakPair(nodeId);
        return;
    }
  }

  nodeLost(nodeId: number): void {
    this.#nodeIds.delete(nodeId);
    if (!this.#members.includes(nodeId)) return;
    const survivor = this.#members.find((member) => member !== nodeId);
    if (survivor === undefined) this.#grantAgain(nodeId);
    else this.#breakPair(survivor);
  }

  #keep(checkpoint: StepCheckpoint | null): void {
    if (checkpoint && checkpoint.step > this.checkpointStep) this.#checkpoint = checkpoint;
  }

  #breakPair(survivor: number): void {
    if (this.#members.length < 2) return;
    const epoch = this.#epoch;
    this.pairsBroken++;
    this.#leave(survivor);
    this.#members = [survivor];
    this.#epoch++;
    this.#world.continueAlone(survivor, epoch, this.#epoch);
    if (this.#yielding) this.#world.yield(survivor, this.#epoch);
  }

  #grantAgain(nodeId: number): void {
    this.#leave(nodeId);
    this.#world.later(this.#world.random() * GRANT_MS_MAX, () => this.grant());
  }

  /** Nobody works on the task any more; all but one are told. */
  #leave(nodeId: number): void {
    for (const other of this.#members) if (other !== nodeId) this.#world.cancel(other, this.#epoch);
    this.#members = [];
  }
}
