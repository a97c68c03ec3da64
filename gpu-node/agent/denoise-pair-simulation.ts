/**
 * @file Two denoise machines, a network that delays, loses, doubles and forges, a replica that may
 * die, and a coordinator that does what the real one does. Virtual time, one seed.
 *
 * Latents and halves are texts that name all they were computed from, so a half of another step or
 * other latents shows in what comes out.
 */
import { assert } from "../../shared/core/assert.js";
import type { GuidanceHalf } from "../../shared/farm/work.js";
import { reduceDenoise, startDenoise } from "./denoise-machine.js";
import type { DenoiseEffect, DenoiseEvent, DenoiseState, FrameFacts } from "./denoise-state.js";

export interface PairScenario {
  readonly seed: number;
  readonly stepCount: number;
  /** Share of frames that never arrive, 0..1. */
  readonly loss: number;
  /** Share of frames that arrive twice, 0..1. */
  readonly doubled: number;
  /** Longest way of a frame in ms; beyond the deadline of a step it breaks pairs. */
  readonly delayMsMax: number;
  /** Forged frames of other epochs, plans and halves for each true one. */
  readonly forged: number;
  /** Which replica dies and when; null: none. */
  readonly death: { readonly replica: 0 | 1; readonly atMs: number } | null;
}

export interface PairOutcome {
  /** Replica whose "finished" the coordinator accepted; null: it never came. */
  readonly finisher: 0 | 1 | null;
  /** Steps that the finisher made since its last assignment, in order. */
  readonly steps: readonly number[];
  readonly latents: string;
  readonly pairsBroken: number;
}

/** What correct latents are after a number of steps. */
export function latentsAfter(steps: number): string {
  let latents = "noise";
  for (let step = 0; step < steps; step++) {
    latents = madeStep(latents, computed("uncond", step, latents), computed("cond", step, latents));
  }
  return latents;
}

const EVENTS_MAX = 100_000;
const LEASE_MS = 5_000;
const PLAN_HASH = "plan";

interface Frame extends FrameFacts {
  readonly payload: string;
}

interface Replica {
  readonly id: 0 | 1;
  alive: boolean;
  /** Null: no task here. */
  state: DenoiseState | null;
  latents: string;
  halves: Map<string, string>;
  steps: number[];
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
  readonly #replicas: readonly [Replica, Replica] = [newReplica(0), newReplica(1)];
  /** Control streams keep their order: the time of the last delivery of each. */
  readonly #streamMs = new Map<string, number>();
  #nowMs = 0;
  #order = 0;
  #deadlines = 0;
  #epoch = 1;
  #members: (0 | 1)[] = [0, 1];
  #finisher: 0 | 1 | null = null;
  #pairsBroken = 0;

  constructor(scenario: PairScenario) {
    this.#scenario = scenario;
    this.#random = randomFrom(scenario.seed);
  }

  run(): PairOutcome {
    const { death } = this.#scenario;
    this.#assign(0, "uncond");
    this.#assign(1, "cond");
    if (death) this.#at(death.atMs, () => this.#die(this.#replicas[death.replica]));
    for (let events = 0; this.#queue.length > 0; events++) {
      assert(events < EVENTS_MAX, "the simulation to end");
      this.#queue.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
      const next = this.#queue.shift()!;
      this.#nowMs = next.atMs;
      next.act();
    }
    const finisher = this.#finisher === null ? null : this.#replicas[this.#finisher];
    return {
      finisher: this.#finisher,
      steps: finisher?.steps ?? [],
      latents: finisher?.latents ?? "",
      pairsBroken: this.#pairsBroken,
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

  #assign(id: 0 | 1, ownHalf: GuidanceHalf | null): void {
    const epoch = this.#epoch;
    const { stepCount } = this.#scenario;
    this.#inOrder(`to ${id}`, () => {
      const replica = this.#replicas[id];
      if (!replica.alive) return;
      Object.assign(replica, newReplica(id), { generation: replica.generation + 1 });
      const plan = { stepCount, guided: true, planHash: PLAN_HASH, ownHalf };
      const [state, effects] = startDenoise(plan, epoch, replica.latents, this.#nowMs);
      replica.state = state;
      for (const effect of effects) this.#carryOut(replica, effect, null);
    });
  }

  #feed(replica: Replica, event: DenoiseEvent, frame: Frame | null = null): void {
    if (!replica.alive || !replica.state) return;
    const [state, effects] = reduceDenoise(replica.state, event);
    replica.state = state;
    for (const effect of effects) this.#carryOut(replica, effect, frame);
  }

  /** Later, unless the replica was assigned anew meanwhile. */
  #later(replica: Replica, delayMs: number, event: () => DenoiseEvent): void {
    const { generation } = replica;
    this.#at(delayMs, () => {
      if (replica.generation === generation) this.#feed(replica, event());
    });
  }

  #carryOut(replica: Replica, effect: DenoiseEffect, frame: Frame | null): void {
    const { halves } = replica;
    switch (effect.kind) {
      case "run-half": {
        const { half, step } = effect;
        halves.set(`${half} ${step}`, computed(half, step, replica.latents));
        const ms = 100 + this.#random() * 2_000;
        this.#later(replica, ms, () => ({ kind: "half-done", half, nowMs: this.#nowMs }));
        return;
      }
      case "send-half":
        this.#send(replica, effect, halves.get(`${effect.half} ${effect.step}`)!);
        return;
      case "keep-half":
        assert(frame, "a frame to keep");
        halves.set(`${effect.half} ${effect.step}`, frame.payload);
        return;
      case "apply":
        this.#apply(replica, effect.step);
        return;
      case "store": {
        const blob = { key: "latents", sha256: "", size: 0 };
        this.#later(replica, 20, () => ({ kind: "stored", blob, nowMs: this.#nowMs }));
        return;
      }
      case "set-deadline": {
        const deadline = ++this.#deadlines;
        replica.deadline = deadline;
        this.#at(effect.ms, () => {
          if (replica.deadline === deadline) this.#feed(replica, { kind: "deadline" });
        });
        return;
      }
      case "clear-deadline":
        replica.deadline = 0;
        return;
      case "leave-pair":
        this.#channelEnds(replica);
        return;
      case "report": {
        const { epoch, report } = effect;
        this.#inOrder(`from ${replica.id}`, () => this.#hear(replica.id, epoch, report.kind));
        return;
      }
      case "drop-frame":
        return;
    }
  }

  #apply(replica: Replica, step: number): void {
    const { halves } = replica;
    const [uncond, cond] = [halves.get(`uncond ${step}`), halves.get(`cond ${step}`)];
    assert(uncond && cond, `both halves of step ${step}`);
    replica.latents = madeStep(replica.latents, uncond, cond);
    replica.steps.push(step);
    const digest = replica.latents;
    this.#later(replica, 5, () => ({ kind: "applied", digest, nowMs: this.#nowMs }));
  }

  #send(
    replica: Replica,
    sent: Extract<DenoiseEffect, { kind: "send-half" }>,
    payload: string,
  ): void {
    const { loss, doubled, forged, delayMsMax } = this.#scenario;
    const { step, half, epoch, latentsDigest } = sent;
    const frame: Frame = { step, half, epoch, latentsDigest, planHash: PLAN_HASH, payload };
    const partner = this.#replicas[replica.id === 0 ? 1 : 0];
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
      { epoch: frame.epoch + 1 },
      { epoch: frame.epoch - 1 },
      { planHash: "other" },
      { half: frame.half === "cond" ? "uncond" : "cond" },
      { step: frame.step + 2 },
    ];
    const forgery = forgeries[Math.floor(this.#random() * forgeries.length)]!;
    return { ...frame, ...forgery, payload: "forged" };
  }

  #channelEnds(replica: Replica): void {
    const partner = this.#replicas[replica.id === 0 ? 1 : 0];
    this.#later(partner, this.#random() * 100, () => ({ kind: "lost", reason: "closed" }));
  }

  #die(replica: Replica): void {
    replica.alive = false;
    this.#channelEnds(replica);
    this.#at(this.#random() * LEASE_MS, () => this.#nodeLost(replica.id));
  }

  // What coordinator/plan/task.ts does with reports, with orders as its effects.

  #hear(id: 0 | 1, epoch: number, kind: string): void {
    if (this.#finisher !== null || epoch !== this.#epoch || !this.#members.includes(id)) return;
    if (kind === "finished") this.#finisher = id;
    if (kind === "pair-broken") this.#breakPair(id);
    if (kind === "failed") this.#grantAgain();
    if (kind === "finished") for (const other of this.#others(id)) this.#cancel(other, epoch);
  }

  #nodeLost(id: 0 | 1): void {
    if (this.#finisher !== null || !this.#members.includes(id)) return;
    const [survivor] = this.#others(id);
    if (survivor === undefined) this.#grantAgain();
    else this.#breakPair(survivor);
  }

  #breakPair(survivor: 0 | 1): void {
    if (this.#members.length < 2) return;
    this.#pairsBroken++;
    for (const other of this.#others(survivor)) this.#cancel(other, this.#epoch);
    this.#epoch++;
    this.#members = [survivor];
    const newEpoch = this.#epoch;
    this.#tell(survivor, () => ({ kind: "continue-alone", newEpoch }));
  }

  #grantAgain(): void {
    for (const id of this.#members) this.#cancel(id, this.#epoch);
    const free = this.#replicas.find((replica) => replica.alive)!.id;
    this.#epoch++;
    this.#members = [free];
    this.#assign(free, null);
  }

  #cancel(id: 0 | 1, epoch: number): void {
    const replica = this.#replicas[id];
    this.#inOrder(`to ${id}`, () => {
      if (replica.state?.epoch === epoch) this.#feed(replica, { kind: "cancel" });
    });
  }

  #tell(id: 0 | 1, event: () => DenoiseEvent): void {
    this.#inOrder(`to ${id}`, () => this.#feed(this.#replicas[id], event()));
  }

  #others(id: 0 | 1): (0 | 1)[] {
    return this.#members.filter((member) => member !== id);
  }
}

function newReplica(id: 0 | 1): Replica {
  return {
    id,
    alive: true,
    state: null,
    latents: "noise",
    halves: new Map(),
    steps: [],
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
