/** @file A node as a process: agent, runtime child, link, bus and tasks, and what can go wrong with it. */
import { GIVE_BACK_MS_MAX, WORK_MS_MAX } from "../../gpu-node/agent/drain.js";
import type { NodeOrder } from "../../shared/adapters/grpc/node-codec.js";
import { FarmError } from "../../shared/core/errors.js";
import { isGuided } from "../../shared/farm/parameters.js";
import type { ModelInfo, TaskAssignment } from "../../shared/farm/work.js";
import type { BusHost } from "./bus.js";
import type { SimCoordinator } from "./coordinator.js";
import { SimLink } from "./link.js";
import { SimProcess } from "./process.js";
import type { Random } from "./random.js";
import { SimRunner } from "./runner.js";
import { SimRuntime } from "./runtime.js";
import { SimStream } from "./stream.js";
import type { TaskFault, TaskParts } from "./task-parts.js";
import type { World } from "./world.js";

export const MODEL: ModelInfo = {
  digest: "d".repeat(64),
  name: "sim",
  numFrames: 4,
  sampleSize: 8,
  vaeScaleFactor: 8,
  latentChannels: 4,
  numTrainTimesteps: 1000,
  stepRule: "as-asked",
};

/** What a job does to every node that denoises it. */
export type Poison = "crashes-runtime" | "crashes-node" | "nan" | "no-memory";

export interface NodeTraits {
  readonly nodeId: string;
  /** Milliseconds that one half of a step takes. */
  readonly halfMs: number;
  /** Nodes of another plan hash make other bytes, so they are not paired. */
  readonly planHash: string;
}

export class SimNode implements BusHost {
  readonly process: SimProcess;
  readonly nodeId: string;
  readonly runtime: SimRuntime;
  busToken = "";
  readonly #traits: NodeTraits;
  readonly #world: World;
  readonly #coordinator: SimCoordinator;
  readonly #random: Random;
  readonly #poison: ReadonlyMap<string, Poison>;
  readonly #faults = new Set<TaskFault>();
  #link: SimLink | null = null;
  #runner: SimRunner | null = null;
  #onIdle: () => void = () => {};

  constructor(
    world: World,
    coordinator: SimCoordinator,
    traits: NodeTraits,
    poison: ReadonlyMap<string, Poison>,
  ) {
    this.#world = world;
    this.#coordinator = coordinator;
    this.#traits = traits;
    this.#poison = poison;
    this.nodeId = traits.nodeId;
    this.#random = world.random.split(traits.nodeId);
    this.process = new SimProcess(traits.nodeId, world.timeline);
    this.runtime = new SimRuntime(this.process);
    world.bus.register(this);
  }

  get runner(): SimRunner | null {
    return this.process.alive ? this.#runner : null;
  }

  /** The stream to the coordinator, where there is one. */
  get stream(): SimStream | null {
    return this.process.alive ? (this.#link?.stream ?? null) : null;
  }

  start(): void {
    if (this.process.alive) return;
    this.process.start();
    this.runtime.reset();
    const { generation } = this.process;
    this.busToken = `${this.nodeId}-${generation}`;
    this.#onIdle = () => {};
    this.#world.trace.add(`${this.nodeId} starts`);
    const runner = new SimRunner({
      partsOf: (assignment) => this.#partsOf(assignment),
      report: (taskId, epoch, report) => link.report(taskId, epoch, report),
      onIdle: () => this.#onIdle(),
    });
    this.#runner = runner;
    const link: SimLink = new SimLink({
      process: this.process,
      random: this.#random,
      dial: (end) =>
        new SimStream(
          this.#world.network,
          this.process,
          this.#coordinator.process,
          this.#coordinator.listen,
          end,
        ),
      hello: () => ({ kind: "hello", identity: this.#identity(generation) }),
      onOrder: (order) => this.#obey(runner, order),
      onDown: (reason) => {
        this.#world.trace.add(`${this.nodeId} is cut off: ${reason}`);
        runner.cancelAll();
        this.#onIdle();
      },
    });
    this.#link = link;
  }

  /** kill -9 of the agent; the runtime child ends with it. */
  kill(): void {
    if (!this.process.alive) return;
    this.#world.trace.add(`${this.nodeId} dies`);
    const stream = this.#link?.stream;
    this.process.kill();
    stream?.endByNode();
    this.#world.bus.died(this.nodeId);
  }

  /** SIGTERM: as `agent/drain.ts`. */
  terminate(): void {
    const { process } = this;
    const runner = this.#runner;
    if (!process.alive || process.frozen || !runner) return;
    this.#world.trace.add(`${this.nodeId} is asked to stop`);
    const counted = this.#link?.stopping() ?? false;
    runner.stop();
    const end = () => {
      this.#link?.close();
      runner.cancelAll();
      this.kill();
    };
    if (!counted || runner.busyWith.length === 0) {
      process.after(1, end);
      return;
    }
    this.#onIdle = () => process.after(1, end);
    process.after(WORK_MS_MAX, () => {
      runner.giveBackAll();
      process.after(GIVE_BACK_MS_MAX, end);
    });
  }

  /** The next time that it could, this goes wrong. */
  plant(fault: TaskFault): void {
    this.#faults.add(fault);
  }

  heal(): void {
    this.#faults.clear();
    this.runtime.failing = null;
    this.runtime.slowness = 1;
  }

  #identity(generation: number) {
    const bootId = `${this.nodeId}boot${generation}`.padEnd(26, "0");
    const { nodeId, busToken } = this;
    const { planHash } = this.#traits;
    const busAddress = "127.0.0.1:1";
    return {
      ...{ nodeId, bootId, model: MODEL, provider: "cpu", planHash },
      ...{ busAddress, busToken, hasFfmpeg: true },
      ...{ memoryBytes: 16 * 2 ** 30, prefers: "any" as const },
    };
  }

  #obey(runner: SimRunner, order: NodeOrder): void {
    const { trace } = this.#world;
    switch (order.kind) {
      case "assign": {
        const { taskId, epoch } = order.assignment;
        trace.add(`${this.nodeId} is assigned ${taskId} e${epoch}`);
        runner.assign(order.assignment);
        return;
      }
      case "cancel":
        trace.add(`${this.nodeId} is to cancel ${order.taskId} e${order.epoch}`);
        runner.cancel(order.taskId, order.epoch);
        return;
      case "yield":
        trace.add(`${this.nodeId} is to give back ${order.taskId} e${order.epoch}`);
        runner.yield(order.taskId, order.epoch);
        return;
      case "continue-alone":
        trace.add(`${this.nodeId} goes on alone with ${order.taskId} e${order.newEpoch}`);
        runner.continueAlone(order.taskId, order.epoch, order.newEpoch);
        return;
      case "welcome":
      case "heartbeat-ack":
    }
  }

  #partsOf(assignment: TaskAssignment): TaskParts {
    const { taskId, jobId, work } = assignment;
    const world = this.#world;
    const { process, nodeId } = this;
    const poison = work.stage === "denoise" ? this.#poison.get(jobId) : undefined;
    const link = this.#link!;
    /** What comes back to a process that is gone is lost. */
    const back = <A extends readonly unknown[]>(answer: (...given: A) => void) => {
      const { generation } = process;
      return (...given: A) => {
        if (process.generation === generation) process.guard(() => answer(...given))();
      };
    };
    return {
      world,
      host: this,
      planHash: this.#traits.planHash,
      holdsLease: () => link.holdsLease(),
      report: (epoch, report) => link.report(taskId, epoch, report),
      run: (answer) => this.#run(assignment, poison, answer),
      get: (ref, answer) => world.store.get(nodeId, ref, back(answer)),
      put: (key, content, answer) => world.store.put(nodeId, key, content, back(answer)),
      takeFault: (fault) => (fault === "nan" && poison === "nan") || this.#faults.delete(fault),
    };
  }

  #run(
    { taskId, work }: TaskAssignment,
    poison: Poison | undefined,
    answer: (error: FarmError | null) => void,
  ): void {
    const halfMs = this.#traits.halfMs * this.#random.between(0.9, 1.3);
    const isShort = work.stage === "denoise" && isGuided(work.parameters);
    this.runtime.run(taskId, isShort ? halfMs : 1.5 * halfMs, (error) => {
      if (poison === "crashes-runtime") this.runtime.crash();
      if (poison === "crashes-node") {
        this.#world.trace.add(`${taskId} takes ${this.nodeId} down`);
        this.kill();
        this.#world.timeline.after(500, () => this.start());
        return;
      }
      answer(error ?? poisonError(poison));
    });
  }
}

function poisonError(poison: Poison | undefined): FarmError | null {
  if (poison === "crashes-runtime") return new FarmError("runtime-failed", "the child died");
  if (poison === "no-memory") return new FarmError("out-of-memory", "no memory for it");
  return null;
}
