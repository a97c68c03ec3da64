/**
 * @file The coordinator as a process: the production core behind the journal, production node
 * sessions, and what the shell around them does. It mirrors `coordinator/shell` and
 * `coordinator/rpc/node-service.ts` in virtual time.
 */
import type { FarmEffect, FarmEvent } from "../../coordinator/plan/events.js";
import { emptyFarm, type Farm } from "../../coordinator/plan/farm-state.js";
import { planHousekeeping } from "../../coordinator/plan/housekeeping.js";
import { HEARTBEAT_MS, LEASE_MS } from "../../coordinator/plan/limits.js";
import { decodeEvent, encodeEvent } from "../../coordinator/shell/event-codec.js";
import type { FarmPolicy, Occurrence } from "../../coordinator/shell/farm-loop.js";
import {
  NodeSessions,
  type NodeStream,
  type SessionLoop,
} from "../../coordinator/shell/node-sessions.js";
import type { NodeMessage } from "../../shared/adapters/grpc/node-codec.js";
import { checkAdmission, farmOf } from "./farm-checks.js";
import { SimJanitor } from "./janitor.js";
import { SimProcess } from "./process.js";
import type { ServerEnd, SimStream } from "./stream.js";
import { type World, wallMs } from "./world.js";

/** A publication or sweep that failed is tried again after this long. */
const PUBLISH_RETRY_MS = 1_000;
/** Folders of a clip that hold finished files and their manifests, as in `shell/sweep.ts`. */
const KEPT = /^v1\/[^/]+\/\d+\/(out-\d+\/|manifest-)/;
const RESOLVED = Promise.resolve();

/** Mirrors `FarmLoop`: event -> journal -> effects, then the scheduler's grants the same way. */
export class SimLoop implements SessionLoop {
  #farm: Farm = emptyFarm();
  readonly #world: World;
  readonly #process: SimProcess;
  readonly #policy: FarmPolicy;
  readonly #execute: (effect: FarmEffect) => void;
  /** Events that no snapshot covers. */
  #unkept = 0;
  #keeping = false;

  constructor(
    world: World,
    process: SimProcess,
    policy: FarmPolicy,
    execute: (effect: FarmEffect) => void,
  ) {
    this.#world = world;
    this.#process = process;
    this.#policy = policy;
    this.#execute = execute;
  }

  get farm(): Farm {
    return this.#farm;
  }

  /** As `recoverFarm`. */
  recover(): void {
    const { core, journal, oracle } = this.#world;
    const snapshot = journal.snapshots.findLast(({ rotten }) => !rotten);
    if (snapshot !== journal.snapshots.at(-1)) oracle.count("snapshot passed over");
    if (snapshot) {
      oracle.count("restart from a snapshot");
      this.#farm = farmOf(snapshot);
    }
    const records = core.replayed(journal.records.slice(snapshot?.number ?? 0));
    for (const record of records) core.reduceFarm(this.farm, decodeEvent(record));
    this.#unkept = records.length;
    oracle.onReplayed(this.farm);
  }

  dispatch(occurrence: Occurrence): Promise<void> {
    this.apply([occurrence]);
    return RESOLVED;
  }

  tick(): Promise<void> {
    const nowMs = wallMs(this.#world);
    const due = planHousekeeping(this.farm, this.#policy, nowMs);
    const plan = this.#world.core.planFarm(this.farm, this.#policy, nowMs);
    const { runningJobsMax } = this.#policy;
    const isFull = this.#world.core.planAdmission(this.farm, runningJobsMax).length === 0;
    const isIdle =
      due.length === 0 && isFull && plan.grants.length === 0 && plan.yields.length === 0;
    if (!isIdle) this.apply(due);
    const check = this.#world.oracle.onLook(nowMs);
    if (check) this.settled(check);
    return RESOLVED;
  }

  /** @param then called once the events are durable and their effects under way */
  apply(occurrences: readonly Occurrence[], then: () => void = () => {}): void {
    const { core, journal, oracle } = this.#world;
    const atMs = wallMs(this.#world);
    const events: FarmEvent[] = [];
    const effects: FarmEffect[] = [];
    const step = (occurrence: Occurrence) => {
      const event: FarmEvent = { ...occurrence, atMs };
      events.push(event);
      effects.push(...oracle.onReduce(this.farm, event));
    };
    for (const occurrence of occurrences) step(occurrence);
    for (const jobId of core.planAdmission(this.farm, this.#policy.runningJobsMax)) {
      step({ kind: "job-admitted", jobId });
    }
    checkAdmission(this.farm, this.#policy.runningJobsMax);
    const { grants, yields } = core.planFarm(this.farm, this.#policy, atMs);
    for (const grant of grants) step({ kind: "task-granted", ...grant });
    for (const taskId of yields) step({ kind: "task-asked-to-yield", taskId });
    if (!core.journalFirst) this.#carryOut(effects);
    const records = events.map(encodeEvent);
    const durable = this.#process.guard(() => {
      if (core.journalFirst) this.#carryOut(effects);
      then();
      this.#unkept += events.length;
      this.#keepIfDue();
    });
    journal.append(records, durable);
  }

  /** Once the journal has all that the farm in memory says. */
  settled(then: () => void): void {
    this.#world.journal.append([], this.#process.guard(then));
  }

  #keepIfDue(): void {
    const { core, journal, oracle, snapshotEvents } = this.#world;
    if (this.#keeping || snapshotEvents === null || this.#unkept < snapshotEvents) return;
    this.#keeping = true;
    this.#unkept = 0;
    const kept = this.#process.guard(() => {
      this.#keeping = false;
      oracle.count("snapshot kept");
    });
    journal.snapshot(core.snapshotLines(this.farm), kept);
  }

  #carryOut(effects: readonly FarmEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === "count") this.#world.oracle.counted(effect.metric);
      else if (effect.kind !== "job-changed") this.#execute(effect);
    }
  }
}

export class SimCoordinator {
  readonly process: SimProcess;
  readonly #world: World;
  readonly #policy: FarmPolicy;
  readonly #streams = new Set<SimStream>();
  #loop: SimLoop | null = null;
  #sessions: NodeSessions | null = null;
  #listening = false;
  readonly #cleaner: SimJanitor;

  /** @param name of a second one, which has nothing to do with what becomes of the first */
  constructor(world: World, policy: FarmPolicy, name = "coordinator") {
    this.#world = world;
    this.#policy = policy;
    this.process = new SimProcess(name, world.timeline);
    this.#cleaner = new SimJanitor(world, this.process);
    if (name !== "coordinator") return;
    world.journal.onTorn = () => this.#died();
  }

  /** Spares what users are about to name. */
  get janitor(): SimJanitor {
    return this.#cleaner;
  }

  /** The loop that answers users; null while the coordinator is down, stopped or replays. */
  get serving(): SimLoop | null {
    const answers = this.#listening && this.process.alive && !this.process.frozen;
    return answers ? this.#loop : null;
  }

  /** Replays the journal, then listens, as `startCoordinator` does. */
  start(): void {
    if (this.process.alive) return;
    const world = this.#world;
    this.process.start();
    if (!world.journal.open(this.process) && world.core.locksJournal) {
      world.oracle.count("second coordinator refused");
      world.trace.add(`${this.process.name} is refused: another one has the journal`);
      this.process.kill();
      return;
    }
    world.trace.add(`coordinator starts with ${world.journal.records.length} records`);
    const loop = new SimLoop(world, this.process, this.#policy, (effect) => this.#execute(effect));
    this.#loop = loop;
    this.#sessions = new NodeSessions(loop, this.process, (error) => {
      throw error;
    });
    loop.recover();
    loop.apply([{ kind: "farm-started" }], () => {
      this.#sessions?.start();
      this.#listening = true;
    });
    this.#cleaner.start(loop);
  }

  /** kill -9. */
  kill(): void {
    if (!this.process.alive) return;
    this.#world.journal.crash();
    this.#died();
  }

  /** Takes in a stream of a node, as `NodeService` does. */
  readonly listen = (stream: SimStream): ServerEnd | null => {
    if (!this.#listening) return null;
    this.#streams.add(stream);
    let nodeId: string | null = null;
    let ended = false;
    const end = (reason: string) => {
      if (ended) return;
      ended = true;
      this.#streams.delete(stream);
      if (nodeId !== null) this.#sessions?.leave(nodeId, nodeStream);
      stream.endByServer(reason);
    };
    const nodeStream: NodeStream = {
      send: (order) => {
        if (ended) return;
        this.#world.oracle.onOrder(stream.nodeId, order);
        stream.order(order);
      },
      // No stream is renewed here: there are no certificates.
      resume: () => {},
      close: end,
    };
    return {
      onMessage: (message) => {
        if (ended) return;
        if (nodeId !== null) this.#take(nodeId, message, nodeStream);
        else if (message.kind === "hello") {
          nodeId = message.identity.nodeId;
          nodeStream.send({
            ...{ kind: "welcome", leaseMs: LEASE_MS, heartbeatMs: HEARTBEAT_MS },
            takesEndings: true,
          });
          this.#sessions?.join(message.identity, nodeStream);
        }
      },
      onEnd: () => end("the node ended the stream"),
    };
  };

  #take(nodeId: string, message: NodeMessage, stream: NodeStream): void {
    if (!this.#sessions?.heard(nodeId, stream)) return;
    switch (message.kind) {
      case "hello":
        stream.close("a second hello came");
        return;
      case "heartbeat":
        stream.send({ kind: "heartbeat-ack" });
        return;
      case "stopping":
        this.#sessions.stopping(nodeId, stream);
        return;
      case "report":
        this.#takeReport(nodeId, message);
        return;
      default:
        // A preview changes nothing: nobody looks at pictures here.
        return;
    }
  }

  #takeReport(nodeId: string, message: Extract<NodeMessage, { kind: "report" }>): void {
    const { taskId, epoch, report } = message;
    if (report.kind === "progress") return;
    this.#world.trace.add(`${nodeId} reports ${report.kind} of ${taskId} e${epoch}`);
    const from = { taskId, nodeId, epoch };
    switch (report.kind) {
      case "finished":
        this.#loop?.apply([{ kind: "task-finished", ...from, result: report.result }]);
        return;
      case "failed": {
        const { code, detail, blobKey } = report;
        const failure = { code, detail };
        this.#loop?.apply([{ kind: "task-failed", ...from, failure, blobKey }]);
        return;
      }
      case "checkpointed": {
        const { checkpoint } = report;
        this.#loop?.apply([{ kind: "task-checkpointed", ...from, checkpoint }]);
        return;
      }
      case "ending":
        this.#loop?.apply([{ kind: "task-ending", ...from }]);
        return;
      case "yielded": {
        const { checkpoint } = report;
        this.#loop?.apply([{ kind: "task-yielded", ...from, checkpoint }]);
        return;
      }
      case "pair-broken": {
        const { step, reason } = report;
        this.#loop?.apply([{ kind: "pair-broken", ...from, step, reason }]);
      }
    }
  }

  #execute(effect: FarmEffect): void {
    switch (effect.kind) {
      case "publish":
        this.#publish(effect);
        return;
      case "sweep":
        this.#sweep(effect);
        return;
      case "assign":
      case "cancel":
      case "yield":
      case "continue-alone":
        this.#sessions?.execute(effect);
        return;
      case "job-changed":
      case "count":
    }
  }

  #publish(effect: Extract<FarmEffect, { kind: "publish" }>): void {
    const { store, core, trace } = this.#world;
    const { jobId, clipIndex, run, outputs } = effect;
    const key = `v1/${jobId}/${clipIndex}/manifest-${run}.json`;
    const content = JSON.stringify({ job: jobId, clip: clipIndex, run, outputs });
    const { process } = this;
    const generation = process.generation;
    const written = (error: Error | null) => {
      if (process.generation !== generation) return;
      process.guard(() => {
        trace.add(
          `publication of ${jobId}-${clipIndex} run ${run}: ${error?.message ?? "written"}`,
        );
        if (error) process.after(PUBLISH_RETRY_MS, () => this.#publish(effect));
        else this.#loop?.apply([{ kind: "clip-published", jobId, clipIndex, run }]);
      })();
    };
    if (core.publishesIfAbsent) store.putIfAbsent("coordinator", key, content, written);
    else store.put("coordinator", key, content, written);
  }

  #sweep({ jobId, outputs }: Extract<FarmEffect, { kind: "sweep" }>): void {
    const { store, trace } = this.#world;
    const prefix = `v1/${jobId}/`;
    const loop = this.#loop;
    const isWanted = () => loop?.farm.jobs.get(jobId)?.swept !== false;
    const isGone = (key: string) =>
      key.startsWith(prefix) && (outputs || (!KEPT.test(key) && isWanted()));
    store.removeWhere("coordinator", isGone, (_error, count) =>
      trace.add(`sweep of ${jobId}: ${count ?? "failed"}`),
    );
  }

  #died(): void {
    this.#world.trace.add("coordinator dies");
    this.process.kill();
    this.#listening = false;
    this.#loop = null;
    this.#sessions = null;
    for (const stream of this.#streams) stream.endByServer("connection reset");
    this.#streams.clear();
  }
}
