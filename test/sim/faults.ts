/** @file Makes things go wrong, one after the other, until it is told to stop. */
import { membersOf } from "../../coordinator/plan/task.js";
import { FarmError } from "../../shared/core/errors.js";
import { isTerminal } from "../../shared/farm/job.js";
import type { TaskReport } from "../../shared/farm/work.js";
import type { SimCoordinator } from "./coordinator.js";
import type { TornAt } from "./journal.js";
import type { SimNode } from "./node.js";
import type { Random } from "./random.js";
import type { Fault, LaterFault, Scenario, ThirdFault } from "./scenario.js";
import { planSwizzle } from "./swizzle.js";
import type { World } from "./world.js";

/** Shorter and longer than a lease. */
const FREEZES_MS = [800, 3_000, 4_900, 6_000, 12_000] as const;
const CLOCK_JUMPS_MS = [3_600_000, -3_600_000, 5_000, -5_000, 4.0e11] as const;

export class Faults {
  /** What was done, for a report. */
  readonly done: string[] = [];
  readonly #world: World;
  readonly #coordinator: SimCoordinator;
  /** Of an operator who has forgotten the first one. */
  readonly #second: SimCoordinator;
  readonly #nodes: readonly SimNode[];
  readonly #random: Random;
  readonly #laterRandom: Random;
  readonly #thirdRandom: Random;
  #torn: TornAt | null = null;
  #over = false;

  constructor(
    world: World,
    coordinator: SimCoordinator,
    nodes: readonly SimNode[],
    scenario: Scenario,
    second: SimCoordinator,
  ) {
    this.#world = world;
    this.#coordinator = coordinator;
    this.#nodes = nodes;
    this.#second = second;
    this.#random = world.random.split("faults");
    this.#laterRandom = world.random.split("later faults");
    this.#thirdRandom = world.random.split("third faults");
    world.bus.duplicated = scenario.duplicatedFrames;
    world.journal.tearing = () => {
      const torn = this.#torn;
      this.#torn = null;
      if (torn) this.#reviveCoordinator();
      return torn;
    };
    const { faults, faultPauseMs, later, third } = scenario;
    this.#repeat({ faults, faultPauseMs }, this.#random, (fault) => this.#happen(fault));
    this.#repeat(later, this.#laterRandom, (fault) => this.#happenLater(fault));
    this.#repeat(third, this.#thirdRandom, (fault) => this.#happenThird(fault));
    world.bus.onFlipped = () => world.oracle.count("frame arrives with another bit");
  }

  /** Everything works from here on, and what was down comes back. */
  heal(): void {
    const { network, store, bus, journal, wall, trace } = this.#world;
    trace.add("faults stop");
    this.#over = true;
    this.#torn = null;
    network.heal();
    store.heal();
    journal.slow(0, 0);
    bus.duplicated = 0;
    bus.flips = 0;
    wall.offsetMs = 0;
    this.#coordinator.process.thaw(false);
    this.#coordinator.start();
    for (const node of this.#nodes) {
      node.heal();
      node.process.thaw(false);
    }
    this.#keepUp();
  }

  /** What runs the nodes starts those that end. */
  #keepUp(): void {
    for (const node of this.#nodes) node.start();
    this.#world.timeline.after(2_000, () => this.#keepUp());
  }

  /** One fault after the other, until they stop. */
  #repeat<F>(
    plan: { readonly faults: readonly F[]; readonly faultPauseMs: number } | null,
    random: Random,
    happen: (fault: F) => void,
  ): void {
    if (!plan || plan.faults.length === 0) return;
    this.#after(plan.faultPauseMs * random.between(0.3, 1.7), () => {
      happen(random.pick(plan.faults));
      this.#repeat(plan, random, happen);
    });
  }

  #happenThird(fault: ThirdFault): void {
    const random = this.#thirdRandom;
    const { network, oracle, trace } = this.#world;
    this.done.push(fault);
    oracle.count(`fault ${fault}`);
    trace.add(`FAULT ${fault}`);
    switch (fault) {
      case "swizzle": {
        const places = ["coordinator", ...this.#nodes.map((node) => node.nodeId)];
        const { clogs, isEveryLink } = planSwizzle(places, random);
        if (isEveryLink) oracle.count("every link clogged");
        for (const { from, to, afterMs, durationMs } of clogs) {
          this.#after(afterMs, () => network.block(from, to, durationMs));
        }
        return;
      }
      case "publisher-cut":
        // Publications take as long as this, and a deadline may pass meanwhile.
        this.#world.store.fail("coordinator", random.between(2_000, 10_000));
        return;
      case "wrong-last-bytes":
        random.pick(this.#nodes).plant(fault);
        return;
      case "result-rot":
        this.#rotResults();
    }
  }

  /** What the tasks of an open job have made, which others are about to read. */
  #rotResults(): void {
    const random = this.#thirdRandom;
    const { store, oracle } = this.#world;
    const open = [...oracle.durable.jobs.values()].filter((job) => !isTerminal(job.state));
    const clips = open.flatMap((job) => job.clips.filter((clip) => !isTerminal(clip.state)));
    if (clips.length === 0) return;
    const made = random.pick(clips).taskIds.flatMap((taskId) => {
      const state = oracle.durable.tasks.get(taskId)?.state;
      return state?.kind === "done" && state.result.blob ? [state.result.blob.key] : [];
    });
    const isAll = random.chance(0.3);
    for (const key of isAll ? made : made.slice(-1)) {
      if (store.blobs.has(key)) store.rot(key);
    }
  }

  #happenLater(fault: LaterFault): void {
    const random = this.#laterRandom;
    const { bus, store, journal, oracle, trace } = this.#world;
    this.done.push(fault);
    oracle.count(`fault ${fault}`);
    trace.add(`FAULT ${fault}`);
    switch (fault) {
      case "frame-flip":
        bus.flips += random.integer(1, 3);
        return;
      case "blob-rot": {
        // Nothing reads a manifest again.
        const keys = [...store.blobs.keys()].filter((key) => !key.includes("/manifest-"));
        const saved = keys.filter((key) => key.includes("/step-"));
        const some = saved.length > 0 && random.chance(0.5) ? saved : keys;
        if (some.length > 0) store.rot(random.pick(some));
        return;
      }
      case "snapshot-rot": {
        const newest = journal.snapshots.at(-1);
        // Of two snapshots one has to be good: the records before the older one are not kept.
        if (newest && journal.snapshots.every(({ rotten }) => !rotten)) newest.rotten = true;
        return;
      }
      case "second-coordinator":
        if (this.#coordinator.process.alive) this.#second.start();
    }
  }

  #happen(fault: Fault): void {
    const random = this.#random;
    const node = random.pick(this.#nodes);
    const durationMs = random.between(500, 12_000);
    this.done.push(fault);
    this.#world.oracle.count(`fault ${fault}`);
    this.#world.trace.add(`FAULT ${fault} ${node.nodeId} ${durationMs.toFixed(0)} ms`);
    if (fault.startsWith("node") || fault === "runtime-crash") this.#hitProcess(fault, node);
    else if (fault.startsWith("coordinator") || fault.startsWith("journal")) {
      this.#hitCoordinator(fault, durationMs);
    } else this.#hitRest(fault, node, durationMs);
  }

  #hitProcess(fault: Fault, node: SimNode): void {
    const random = this.#random;
    switch (fault) {
      case "node-crash":
        node.kill();
        this.#after(random.pick([50, 900, 4_000, 9_000]), () => node.start());
        return;
      case "node-flaps":
        this.#flap(node, random.integer(3, 8));
        return;
      case "node-stop":
        node.terminate();
        this.#after(random.between(3_000, 12_000), () => node.start());
        this.#after(31_000, () => node.start());
        return;
      case "node-freeze":
        this.#freeze(node.process);
        return;
      case "runtime-crash":
        if (node.process.alive) node.runtime.crash();
        return;
      default:
        throw new Error(`bug: ${fault} hits no process`);
    }
  }

  #hitCoordinator(fault: Fault, durationMs: number): void {
    const random = this.#random;
    switch (fault) {
      case "coordinator-crash":
        this.#coordinator.kill();
        this.#reviveCoordinator();
        return;
      case "coordinator-freeze":
        this.#freeze(this.#coordinator.process);
        return;
      case "journal-torn":
        this.#torn = random.pick(["before", "middle", "after"] as const);
        return;
      case "journal-slow":
        this.#world.journal.slow(durationMs, 800);
        return;
      default:
        throw new Error(`bug: ${fault} does not hit the coordinator`);
    }
  }

  #hitRest(fault: Fault, node: SimNode, durationMs: number): void {
    const random = this.#random;
    const { network, store, bus, wall } = this.#world;
    const other = random.pick(this.#nodes);
    switch (fault) {
      case "stream-cut":
        node.stream?.cut();
        return;
      case "partition-control":
        this.#partition(node.nodeId, "coordinator", durationMs);
        return;
      case "partition-bus":
        this.#partition(node.nodeId, other.nodeId, durationMs);
        return;
      case "bus-cut":
        bus.cut(node.nodeId, other.nodeId);
        return;
      case "frames-again":
        bus.replayAll();
        return;
      case "stray-report":
        this.#stray(node);
        return;
      case "slow-link": {
        const delayMs = random.pick([50, 500, 2_500]);
        network.slow(node.nodeId, "coordinator", durationMs, delayMs);
        network.slow("coordinator", node.nodeId, durationMs, delayMs);
        network.slow(node.nodeId, other.nodeId, durationMs, delayMs);
        return;
      }
      case "store-down":
        store.fail(random.pick(["*", "coordinator", node.nodeId]), durationMs / 3);
        return;
      case "store-slow":
        store.slow(durationMs, random.pick([100, 3_000]));
        return;
      case "nan":
      case "wrong-bytes":
        node.plant(fault);
        return;
      case "bad-node":
        this.#spoil(
          node,
          new FarmError("runtime-failed", "this node fails everything"),
          durationMs,
        );
        return;
      case "device-lost":
        this.#spoil(node, new FarmError("device-lost", "the driver is gone"), durationMs);
        return;
      case "slow-node":
        node.runtime.slowness = 10;
        this.#after(durationMs, () => {
          node.runtime.slowness = 1;
        });
        return;
      case "clock-jump":
        wall.offsetMs = random.pick(CLOCK_JUMPS_MS);
        return;
      default:
        throw new Error(`bug: nobody makes ${fault}`);
    }
  }

  /** A node speaks of a task that is another's, or of a grant that is over. */
  #stray(node: SimNode): void {
    const random = this.#random;
    const foreign = [...(this.#coordinator.serving?.farm.tasks.values() ?? [])].filter((task) =>
      membersOf(task).every(({ nodeId }) => nodeId !== node.nodeId),
    );
    if (foreign.length === 0) return;
    const granted = foreign.filter((task) => task.state.kind === "granted");
    const { taskId, epoch, state } = random.pick(granted.length > 0 ? granted : foreign);
    const stale = state.kind === "granted" ? 0 : random.integer(0, 1);
    const blob = { key: "v1/stray", sha256: "stray", size: 5 };
    const result = { blob, outputs: [], seconds: 1, secondsPerStep: 1 };
    const report = random.pick<TaskReport>([
      { kind: "finished", result },
      { kind: "failed", code: "runtime-failed", detail: "stray" },
      { kind: "yielded", checkpoint: null },
      { kind: "checkpointed", checkpoint: { step: 1, blob } },
      { kind: "pair-broken", step: 1, reason: "stray" },
    ]);
    node.stream?.send({ kind: "report", taskId, epoch: Math.max(1, epoch - stale), report });
  }

  #spoil(node: SimNode, error: FarmError, durationMs: number): void {
    node.runtime.failing = error;
    this.#after(durationMs, () => {
      node.runtime.failing = null;
    });
  }

  #freeze(process: SimNode["process"]): void {
    process.freeze();
    this.#after(this.#random.pick(FREEZES_MS), () => process.thaw(this.#random.chance(0.5)));
  }

  #partition(a: string, b: string, durationMs: number): void {
    const ways = this.#random.pick(["both", "there", "back"]);
    if (ways !== "back") this.#world.network.block(a, b, durationMs);
    if (ways !== "there") this.#world.network.block(b, a, durationMs);
  }

  #flap(node: SimNode, times: number): void {
    node.kill();
    this.#after(1_000, () => {
      node.start();
      if (times > 1) this.#after(1_000, () => this.#flap(node, times - 1));
    });
  }

  #reviveCoordinator(): void {
    this.#after(this.#random.pick([100, 1_000, 7_000]), () => this.#coordinator.start());
  }

  /** Not once the faults have stopped. */
  #after(delayMs: number, act: () => void): void {
    this.#world.timeline.after(delayMs, () => {
      if (!this.#over) act();
    });
  }
}
