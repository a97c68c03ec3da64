/**
 * @file Three denoise machines, a network that delays, loses, doubles and forges, a store that is slow
 * and refuses, a node that may die, and a coordinator that wants the clip back at odd times. Virtual
 * time, one seed.
 *
 * Latents and halves are texts that name all they were computed from, so a half of another step or
 * other latents shows in what comes out.
 */
import { assert } from "../../shared/core/assert.js";
import type { GuidanceHalf, TaskReport } from "../../shared/farm/work.js";
import { reduceDenoise, startDenoise } from "./denoise-machine.js";
import type { DenoiseEffect, DenoiseEvent, DenoiseState, FrameFacts } from "./denoise-state.js";
import { type Grant, SimulatedCoordinator } from "./simulated-coordinator.js";

export interface PairScenario {
  readonly seed: number;
  readonly stepCount: number;
  /** Share of grants that go to two nodes, 0..1; the others go to one. */
  readonly pairShare: number;
  /** Share of frames that never arrive, 0..1. */
  readonly loss: number;
  /** Share of frames that arrive twice, 0..1. */
  readonly doubled: number;
  /** Longest way of a frame in ms; beyond the deadline of a step it breaks pairs. */
  readonly delayMsMax: number;
  /** Forged frames of other epochs, plans and halves for each true one. */
  readonly forged: number;
  /** Which node dies and when; null: none. */
  readonly death: { readonly nodeId: number; readonly atMs: number } | null;
  /** When the coordinator wants the clip back. */
  readonly yieldsAtMs: readonly number[];
  /** Longest time that latents on their way take to the store, in ms. */
  readonly saveMsMax: number;
  /** Share of them that the store does not take, 0..1. */
  readonly saveLoss: number;
}

export interface PairOutcome {
  /** Node whose "finished" the coordinator accepted; null: it never came. */
  readonly finisher: number | null;
  /** Steps that lie behind the finished latents, in order, through every node that made one. */
  readonly steps: readonly number[];
  readonly latents: string;
  readonly pairsBroken: number;
  /** Times two replicas of a pair did not agree; a forged frame of a step to come has that effect. */
  readonly diverged: number;
  /** Times the clip was given back. */
  readonly yields: number;
  /** Times a node began with latents from the store. */
  readonly resumed: number;
  /** Steps that the nodes made in all. */
  readonly stepsMade: number;
  /** Most steps that were made and then lost when a clip was given back. */
  readonly lostByYieldMax: number;
}

/** What correct latents are after a number of steps. */
export function latentsAfter(steps: number): string {
  let latents = NOISE;
  for (let step = 0; step < steps; step++) {
    latents = madeStep(latents, computed("uncond", step, latents), computed("cond", step, latents));
  }
  return latents;
}

const NODE_IDS = [0, 1, 2] as const;
const EVENTS_MAX = 100_000;
const LEASE_MS = 5_000;
const PLAN_HASH = "plan";
const NOISE = "noise";

interface Frame extends FrameFacts {
  readonly payload: string;
}

/** Latents and the steps that made them. */
interface Latents {
  readonly value: string;
  readonly steps: readonly number[];
}

interface Node {
  readonly id: number;
  alive: boolean;
  /** Null: no task here. */
  state: DenoiseState | null;
  partnerId: number | null;
  latents: Latents;
  halves: Map<string, string>;
  deadline: number;
  /** Assignments so far: what an older one had under way is void. */
  generation: number;
}

/** Runs a scenario to its end. */
export function simulatePair(scenario: PairScenario): PairOutcome {
  return new Simulation(scenario).run();
}

class Simulation {
  readonly #scenario: PairScenario;
  readonly #random: () => number;
  readonly #queue: { atMs: number; order: number; act: () => void }[] = [];
  readonly #nodes: readonly Node[] = NODE_IDS.map(newNode);
  readonly #coordinator: SimulatedCoordinator;
  readonly #store = new Map<string, Latents>();
  /** Control streams keep their order: the time of the last delivery of each. */
  readonly #streamMs = new Map<string, number>();
  #nowMs = 0;
  #order = 0;
  #deadlines = 0;
  #resumed = 0;
  #stepsMade = 0;
  #lostByYieldMax = 0;

  constructor(scenario: PairScenario) {
    this.#scenario = scenario;
    this.#random = randomFrom(scenario.seed);
    const tell = (nodeId: number, epoch: number, event: DenoiseEvent) =>
      this.#inOrder(`to ${nodeId}`, () => {
        const node = this.#nodes[nodeId]!;
        // As the task runner does: an order for another grant is void.
        if (node.state?.epoch === epoch) this.#feed(node, event);
      });
    const world = {
      random: this.#random,
      later: (delayMs: number, act: () => void) => this.#at(delayMs, act),
      assign: (nodeId: number, grant: Grant) =>
        this.#inOrder(`to ${nodeId}`, () => this.#start(this.#nodes[nodeId]!, grant)),
      cancel: (nodeId: number, epoch: number) => tell(nodeId, epoch, { kind: "cancel" }),
      yield: (nodeId: number, epoch: number) =>
        tell(nodeId, epoch, { kind: "yield", atOnce: false }),
      continueAlone: (nodeId: number, epoch: number, newEpoch: number) =>
        tell(nodeId, epoch, { kind: "continue-alone", newEpoch }),
    };
    this.#coordinator = new SimulatedCoordinator(world, NODE_IDS, scenario.pairShare);
  }

  run(): PairOutcome {
    const { death, yieldsAtMs } = this.#scenario;
    this.#coordinator.grant();
    if (death) this.#at(death.atMs, () => this.#die(this.#nodes[death.nodeId]!));
    for (const atMs of yieldsAtMs) this.#at(atMs, () => this.#coordinator.askToYield());
    for (let events = 0; this.#queue.length > 0; events++) {
      assert(events < EVENTS_MAX, "the simulation to end");
      this.#queue.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
      const next = this.#queue.shift()!;
      this.#nowMs = next.atMs;
      next.act();
    }
    const { finisher, pairsBroken, yields, diverged } = this.#coordinator;
    const latents = finisher === null ? { value: "", steps: [] } : this.#nodes[finisher]!.latents;
    return {
      ...{ finisher, pairsBroken, yields, diverged },
      steps: latents.steps,
      latents: latents.value,
      resumed: this.#resumed,
      stepsMade: this.#stepsMade,
      lostByYieldMax: this.#lostByYieldMax,
    };
  }

  #at(delayMs: number, act: () => void): void {
    this.#queue.push({ atMs: this.#nowMs + delayMs, order: this.#order++, act });
  }

  /** In order, as messages of one stream are. */
  #inOrder(stream: string, act: () => void): void {
    const earliestMs = this.#streamMs.get(stream) ?? 0;
    const atMs = Math.max(earliestMs, this.#nowMs + this.#random() * 50);
    this.#streamMs.set(stream, atMs);
    this.#at(atMs - this.#nowMs, act);
  }

  #start(node: Node, { epoch, half, partnerId, resume }: Grant): void {
    if (!node.alive) return;
    const latents = resume ? this.#store.get(resume.blob.key) : { value: NOISE, steps: [] };
    assert(latents?.steps.length === (resume?.step ?? 0), "latents of the step that is named");
    if (resume) this.#resumed++;
    const generation = node.generation + 1;
    Object.assign(node, newNode(node.id), { generation, latents, partnerId });
    const { stepCount } = this.#scenario;
    const plan = { stepCount, guided: true, planHash: PLAN_HASH, ownHalf: half, resume };
    const [state, effects] = startDenoise(plan, epoch, latents.value, this.#nowMs);
    node.state = state;
    for (const effect of effects) this.#carryOut(node, effect, null);
  }

  #feed(node: Node, event: DenoiseEvent, frame: Frame | null = null): void {
    if (!node.alive || !node.state) return;
    const [state, effects] = reduceDenoise(node.state, event);
    node.state = state;
    for (const effect of effects) this.#carryOut(node, effect, frame);
  }

  /** Later, unless the node was assigned anew meanwhile. */
  #later(node: Node, delayMs: number, event: () => DenoiseEvent): void {
    const { generation } = node;
    this.#at(delayMs, () => {
      if (node.generation === generation) this.#feed(node, event());
    });
  }

  #carryOut(node: Node, effect: DenoiseEffect, frame: Frame | null): void {
    const { halves } = node;
    switch (effect.kind) {
      case "run-half": {
        const { half, step } = effect;
        halves.set(`${half} ${step}`, computed(half, step, node.latents.value));
        const ms = 100 + this.#random() * 2_000;
        this.#later(node, ms, () => ({ kind: "half-done", half, nowMs: this.#nowMs }));
        return;
      }
      case "send-half":
        this.#send(node, effect, halves.get(`${effect.half} ${effect.step}`)!);
        return;
      case "send-digest":
        this.#send(node, effect, "");
        return;
      case "keep-half":
        assert(frame, "a frame to keep");
        halves.set(`${effect.half} ${effect.step}`, frame.payload);
        return;
      case "apply":
        this.#apply(node, effect.step);
        return;
      case "store": {
        const blob = { key: "latents", sha256: "", size: 0 };
        this.#later(node, 20, () => ({ kind: "stored", blob, nowMs: this.#nowMs }));
        return;
      }
      case "save":
        this.#save(node, effect.step, effect.epoch);
        return;
      case "set-deadline": {
        const deadline = ++this.#deadlines;
        node.deadline = deadline;
        this.#at(effect.ms, () => {
          if (node.deadline === deadline) this.#feed(node, { kind: "deadline" });
        });
        return;
      }
      case "clear-deadline":
        node.deadline = 0;
        return;
      case "leave-pair":
        // What was sent before arrives before.
        this.#channelEnds(node, this.#scenario.delayMsMax);
        return;
      case "report": {
        const { epoch, report } = effect;
        this.#inOrder(`from ${node.id}`, () => this.#hear(node, epoch, report));
        return;
      }
      case "drop-frame":
        return;
    }
  }

  #apply(node: Node, step: number): void {
    const { halves, latents } = node;
    const [uncond, cond] = [halves.get(`uncond ${step}`), halves.get(`cond ${step}`)];
    assert(uncond && cond, `both halves of step ${step}`);
    const value = madeStep(latents.value, uncond, cond);
    node.latents = { value, steps: [...latents.steps, step] };
    this.#stepsMade++;
    this.#later(node, 5, () => ({ kind: "applied", digest: value, nowMs: this.#nowMs }));
  }

  /** What was saved is what the latents were when it began; a write may outlive its task. */
  #save(node: Node, step: number, epoch: number): void {
    const { latents, generation } = node;
    assert(latents.steps.length === step, `latents after ${step} steps`);
    const key = `step-${step}-${epoch}`;
    const isTaken = this.#random() >= this.#scenario.saveLoss;
    this.#at(this.#random() * this.#scenario.saveMsMax, () => {
      if (!node.alive) return;
      const other = this.#store.get(key);
      assert(!other || other.value === latents.value, `the same bytes under ${key}`);
      if (isTaken) this.#store.set(key, latents);
      if (node.generation !== generation) return;
      const checkpoint = { step, blob: { key, sha256: "", size: 0 } };
      if (isTaken) this.#feed(node, { kind: "saved", checkpoint, nowMs: this.#nowMs });
      else this.#feed(node, { kind: "save-failed", step });
    });
  }

  #send(
    node: Node,
    sent: Extract<DenoiseEffect, { kind: "send-half" | "send-digest" }>,
    payload: string,
  ): void {
    const { loss, doubled, forged, delayMsMax } = this.#scenario;
    const { step, half, epoch, latentsDigest } = sent;
    const frame: Frame = { step, half, epoch, latentsDigest, planHash: PLAN_HASH, payload };
    const partner = this.#nodes[node.partnerId!]!;
    const deliver = (f: Frame) =>
      this.#at(this.#random() * delayMsMax, () =>
        this.#feed(partner, { kind: "frame", frame: f }, f),
      );
    if (this.#random() >= loss) deliver(frame);
    if (this.#random() < doubled) deliver(frame);
    for (let i = 0; i < forged; i++) deliver(this.#forge(frame));
  }

  /** Differs from a true frame in one field that must keep it out. */
  #forge(frame: Frame): Frame {
    const forgeries: Partial<Frame>[] = [
      // Not of the epochs around it, which are or were true ones of other replicas.
      { epoch: frame.epoch + 1_000 },
      { epoch: 0 },
      { planHash: "other" },
      { half: frame.half === "cond" ? "uncond" : "cond" },
      { step: frame.step + 2 },
    ];
    const forgery = forgeries[Math.floor(this.#random() * forgeries.length)]!;
    return { ...frame, ...forgery, payload: "forged" };
  }

  /** The channel is the grant's: a partner that works on another one by now hears nothing. */
  #channelEnds(node: Node, notBeforeMs: number): void {
    const partner = this.#nodes[node.partnerId!]!;
    if (partner.partnerId !== node.id) return;
    this.#later(partner, notBeforeMs + this.#random() * 100, () => ({
      kind: "lost",
      reason: "closed",
    }));
  }

  #die(node: Node): void {
    node.alive = false;
    if (node.partnerId !== null) this.#channelEnds(node, 0);
    this.#at(this.#random() * LEASE_MS, () => this.#coordinator.nodeLost(node.id));
  }

  #hear(node: Node, epoch: number, report: TaskReport): void {
    const before = this.#coordinator.yields;
    const members = [...this.#coordinator.members];
    this.#coordinator.hear(node.id, epoch, report);
    if (this.#coordinator.yields === before) return;
    const made = Math.max(...members.map((id) => this.#nodes[id]!.latents.steps.length));
    const lost = made - this.#coordinator.checkpointStep;
    this.#lostByYieldMax = Math.max(this.#lostByYieldMax, lost);
  }
}

function newNode(id: number): Node {
  return {
    id,
    alive: true,
    state: null,
    partnerId: null,
    latents: { value: NOISE, steps: [] },
    halves: new Map(),
    deadline: 0,
    generation: 0,
  };
}

function computed(half: GuidanceHalf, step: number, latents: string): string {
  return `${half} ${step} of ${latents}`;
}

function madeStep(latents: string, uncond: string, cond: string): string {
  return shortened(`${latents} + ${uncond} + ${cond}`);
}

/** FNV-1a, so that texts do not double in length at every step. */
function shortened(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (let i = 0; i < text.length; i++) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n);
  }
  return hash.toString(16);
}

/** A linear congruential generator: poor for statistics, enough to vary a scenario. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  const draw = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  // Near seeds begin with near numbers.
  for (let i = 0; i < 8; i++) draw();
  return draw;
}
