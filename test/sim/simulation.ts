/** @file One run: chaos, then heal, with every invariant checked after every event. */
import { FAILURES_MAX, NODE_HOLD_DOWN_MS } from "../../coordinator/plan/limits.js";
import { POLICY_DEFAULT } from "../../coordinator/shell/farm-loop.js";
import { isTerminal } from "../../shared/farm/job.js";
import { SimBus } from "./bus.js";
import { SimCoordinator } from "./coordinator.js";
import { type Core, PRODUCTION } from "./core.js";
import { Faults } from "./faults.js";
import { SimJournal } from "./journal.js";
import { Network } from "./network.js";
import { SimNode } from "./node.js";
import { Oracle } from "./oracle.js";
import { checkNoOrphans } from "./ownership.js";
import { Random } from "./random.js";
import { type Generation, NODES_MAX, type Scenario, scenarioOf } from "./scenario.js";
import { SimStore } from "./store.js";
import { Timeline } from "./timeline.js";
import { Trace } from "./trace.js";
import { Users } from "./users.js";
import { hold, type InvariantId, Violation } from "./violation.js";
import { type World, wallMs } from "./world.js";

export interface Outcome {
  readonly seed: number;
  /** Null: everything held. */
  readonly failure: { readonly invariant: InvariantId | "bug"; readonly text: string } | null;
  readonly traceHash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly faults: readonly string[];
  readonly counts: ReadonlyMap<string, number>;
  readonly trace: readonly string[];
  readonly scenario: Scenario;
}

export interface RunOptions {
  readonly core?: Core;
  /** Every line of the trace is kept. */
  readonly keepsTrace?: boolean;
  readonly scenario?: Scenario;
  /** 3 unless told. */
  readonly generation?: Generation;
}

/** After the faults have stopped, every job has ended by then, */
const HEAL_MS_MAX = 300_000;
/** and later for each clip that takes nodes down, which are held down each time. */
const POISONED_CLIP_MS = FAILURES_MAX * (NODE_HOLD_DOWN_MS + 5_000);
/** Two pictures, two clips each. */
const CLIPS_MAX = 4;
/** And then every node is idle by then. */
const IDLE_MS_MAX = 15_000;
/** And what nobody owns has gone by then, one blob after the other. */
const CLEANING_MS_MAX = 3_000;
/** In a farm of NODES_MAX nodes; a larger one has more of both, in proportion. */
const EVENTS_MAX = 200_000;
/** Entries of the timeline; more is something that multiplies. */
const TIMELINE_MAX = 10_000;
/** Between two comparisons of the farm in memory with that of the journal. */
const COMPARE_EVERY = 150;

/** Runs the scenario of a seed to its end. */
export function simulate(seed: number, options: RunOptions = {}): Outcome {
  return new Simulation(options.scenario ?? scenarioOf(seed, options.generation), options).run();
}

class Simulation {
  readonly #scenario: Scenario;
  readonly #world: World;
  readonly #coordinator: SimCoordinator;
  readonly #nodes: readonly SimNode[];
  readonly #users: Users;
  readonly #faults: Faults;
  #events = 0;

  constructor(scenario: Scenario, { core = PRODUCTION, keepsTrace = false }: RunOptions) {
    this.#scenario = scenario;
    const random = new Random(`run ${scenario.seed}`);
    const timeline = new Timeline(random.split("ties"));
    const network = new Network(timeline, random.split("network"));
    const wall = { offsetMs: 0 };
    const checks = { checks: core.checksBlobs, wallMs: () => wallMs({ timeline, wall }) };
    const store = new SimStore(timeline, random.split("store"), checks);
    const journal = new SimJournal(timeline, random.split("journal"));
    this.#world = {
      ...{ core, random, timeline, network, store, journal },
      trace: new Trace(keepsTrace, () => timeline.nowMs()),
      bus: new SimBus(network, timeline, random.split("bus"), core.checksFrames),
      oracle: new Oracle(core, store, journal),
      wall,
      snapshotEvents: scenario.later?.snapshotEvents ?? null,
      cleaning: scenario.later?.cleaning ?? null,
    };
    const { ownerAcceleratorsMax, intermediatesKeptMs, nodes, users } = scenario;
    const { later, third } = scenario;
    const bound = third?.runningJobsMax ?? null;
    const bounds = { ownerAcceleratorsMax, intermediatesKeptMs, runningJobsMax: () => bound };
    const policy = { ...POLICY_DEFAULT, ...bounds };
    const nodeIds = nodes.map((node) => node.nodeId);
    this.#coordinator = new SimCoordinator(this.#world, policy);
    const quotaBound = bound !== null;
    const habits = { branched: later?.branched ?? null, hurried: third?.hurried ?? 0, quotaBound };
    this.#users = new Users(this.#world, this.#coordinator, { ...users, ...habits }, nodeIds);
    const { poison } = this.#users;
    this.#nodes = nodes.map((t) => new SimNode(this.#world, this.#coordinator, t, poison));
    this.#world.bus.onReplay = (nodeId, frame) => this.#node(nodeId)?.runner?.takeReplayed(frame);
    const second = new SimCoordinator(this.#world, policy, "second coordinator");
    this.#faults = new Faults(this.#world, this.#coordinator, this.#nodes, scenario, second);
  }

  run(): Outcome {
    let failure: Outcome["failure"] = null;
    try {
      this.#live();
    } catch (error) {
      const invariant = error instanceof Violation ? error.invariant : "bug";
      const text = error instanceof Violation ? error.message : String((error as Error).stack);
      failure = { invariant, text };
    }
    const { trace, timeline, oracle } = this.#world;
    return {
      seed: this.#scenario.seed,
      failure,
      traceHash: trace.hash(),
      events: this.#events,
      virtualMs: timeline.nowMs(),
      faults: this.#faults.done,
      counts: oracle.counts,
      trace: trace.lines,
      scenario: this.#scenario,
    };
  }

  #live(): void {
    const { chaosMs } = this.#scenario;
    this.#coordinator.start();
    for (const node of this.#nodes) node.start();
    this.#users.start(chaosMs);
    this.#runUntil(chaosMs, () => false);
    this.#faults.heal();
    this.#users.calm();
    const { oracle, timeline } = this.#world;
    const clips = [...oracle.durable.jobs.values()]
      .filter((job) => this.#users.poison.has(job.jobId))
      .reduce((count, job) => count + job.clips.length, 0);
    // A request that was not answered yet may make one more such job.
    const more = this.#users.openRequests > 0 ? CLIPS_MAX : 0;
    const healMs = HEAL_MS_MAX + (clips + more) * POISONED_CLIP_MS;
    this.#runUntil(chaosMs + healMs, () => this.#allEnded());
    hold(this.#allEnded(), "I8", () => this.#openJobs());
    this.#runUntil(timeline.nowMs() + IDLE_MS_MAX, () => this.#allIdle());
    hold(this.#allIdle(), "I8", () => `${this.#busyNodes()} still work`);
    this.#runUntil(timeline.nowMs() + this.#cleanMs(), () => false);
    oracle.onEnd();
    if (this.#world.cleaning) checkNoOrphans(oracle.durable, this.#world.store);
  }

  /** How long the janitor takes to find what was written last, by a clock that was ahead before. */
  #cleanMs(): number {
    const { cleaning } = this.#world;
    return cleaning ? cleaning.sparedMs + 2 * cleaning.pauseMs + CLEANING_MS_MAX : 0;
  }

  #runUntil(endMs: number, isOver: () => boolean): void {
    const { timeline, oracle } = this.#world;
    while (timeline.nowMs() < endMs && !isOver()) {
      if (!timeline.step()) return;
      this.#events += 1;
      const share = Math.max(1, this.#nodes.length / NODES_MAX);
      hold(this.#events < EVENTS_MAX * share, "I8", () => `${this.#events} events and no end`);
      const waiting = timeline.size;
      hold(waiting < TIMELINE_MAX * share, "I5", () => `${waiting} things wait to happen`);
      if (this.#events % COMPARE_EVERY !== 0) continue;
      const loop = this.#coordinator.serving;
      if (loop) oracle.onSettled(loop.farm);
    }
  }

  #allEnded(): boolean {
    if (this.#users.openRequests > 0 || this.#world.journal.waiting > 0) return false;
    return this.#world.oracle.durable.openJobCount === 0;
  }

  #allIdle(): boolean {
    return this.#nodes.every((node) => (node.runner?.busyWith.length ?? 0) === 0);
  }

  #openJobs(): string {
    const { jobs, tasks } = this.#world.oracle.durable;
    const open = [...jobs.values()].filter((job) => !isTerminal(job.state));
    const states = open.map((job) => {
      const mine = [...tasks.values()].filter((task) => task.jobId === job.jobId);
      const each = mine.map((task) => `${task.taskId.slice(27)} ${task.state.kind}`).join(", ");
      return `${job.jobId} ${job.state} (${each}; waits for ${job.waitsFor.join() || "nothing"})`;
    });
    return `not ended: ${states.join("; ") || `${this.#users.openRequests} unanswered requests`}`;
  }

  #busyNodes(): string {
    return this.#nodes
      .flatMap((node) => node.runner?.busyWith.map((task) => `${node.nodeId} on ${task}`) ?? [])
      .join(", ");
  }

  #node(nodeId: string): SimNode | undefined {
    return this.#nodes.find((node) => node.nodeId === nodeId);
  }
}
