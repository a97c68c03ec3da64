/**
 * @file Whether the event loop of this process keeps up. A process whose loop stands still answers
 * nobody meanwhile, probes neither; what this adds is what is said right after, while all that has
 * piled up is worked off.
 */
import type { CancelTimer, Clock } from "../../ports/clock.js";

/** How often the loop has to come round. */
const TICK_MS = 250;
/** A tick that comes this late: the loop is behind. Half of a lease is not gone yet. */
export const BEHIND_MS = 2_000;
/** For how long ticks have to be in time before the loop counts as in time again. */
export const IN_TIME_MS = 1_000;

type Listener = (whyBehind: string | null) => void;

export class LoopWatch {
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();
  #cancelTick: CancelTimer = () => {};
  /** When the next tick is due; null before the start. */
  #dueMs: number | null = null;
  /** The last tick that came too late: by how much, and when it came. */
  #late: { readonly lateMs: number; readonly atMs: number } | null = null;
  /** What listeners heard last. */
  #hasToldBehind = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(): void {
    const dueMs = this.#clock.nowMs() + TICK_MS;
    this.#dueMs = dueMs;
    this.#cancelTick = this.#clock.after(TICK_MS, () => this.#tick());
  }

  stop(): void {
    this.#cancelTick();
    this.#dueMs = null;
  }

  /** By how much the loop came late, in words; null while it keeps up. */
  whyBehind(): string | null {
    // Whoever asks may come before a tick that is due.
    this.#look();
    if (this.#late === null) return null;
    return `the event loop stood still for ${(this.#late.lateMs / 1_000).toFixed(1)} s`;
  }

  /** Hears that the loop fell behind, and that it is in time again. @returns takes the listener away */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tick(): void {
    this.#look();
    if (this.#late && this.#clock.nowMs() - this.#late.atMs >= IN_TIME_MS) this.#late = null;
    this.start();
    const isBehind = this.#late !== null;
    if (isBehind === this.#hasToldBehind) return;
    this.#hasToldBehind = isBehind;
    for (const listener of this.#listeners) listener(this.whyBehind());
  }

  #look(): void {
    const nowMs = this.#clock.nowMs();
    const lateMs = this.#dueMs === null ? 0 : nowMs - this.#dueMs;
    if (lateMs >= BEHIND_MS) this.#late = { lateMs, atMs: nowMs };
  }
}
