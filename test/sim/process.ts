/** @file A process that can be killed, started again, stopped (SIGSTOP) and let go on (SIGCONT). */
import type { CancelTimer, Clock } from "../../shared/ports/clock.js";
import type { Timeline } from "./timeline.js";

interface Stalled {
  readonly isTimer: boolean;
  readonly act: () => void;
}

export class SimProcess implements Clock {
  readonly name: string;
  readonly #timeline: Timeline;
  #generation = 0;
  #alive = false;
  #frozen = false;
  #stalled: Stalled[] = [];

  constructor(name: string, timeline: Timeline) {
    this.name = name;
    this.#timeline = timeline;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  /** Counts starts: what an earlier start had under way is void. */
  get generation(): number {
    return this.#generation;
  }

  start(): void {
    this.#generation += 1;
    this.#alive = true;
  }

  kill(): void {
    this.#alive = false;
    this.#frozen = false;
    this.#stalled = [];
  }

  freeze(): void {
    this.#frozen = this.#alive;
  }

  /** What came meanwhile is taken in now; an event loop may look at its timers first. */
  thaw(timersFirst: boolean): void {
    if (!this.#frozen) return;
    this.#frozen = false;
    const stalled = this.#stalled;
    this.#stalled = [];
    if (timersFirst) stalled.sort((a, b) => Number(b.isTimer) - Number(a.isTimer));
    for (const { act } of stalled) act();
  }

  nowMs(): number {
    return this.#timeline.nowMs();
  }

  /** A timer of this process. */
  after(delayMs: number, act: () => void): CancelTimer {
    let cancelled = false;
    const fire = this.guard(() => {
      if (!cancelled) act();
    }, true);
    const cancelEntry = this.#timeline.after(delayMs, fire);
    return () => {
      cancelled = true;
      cancelEntry();
    };
  }

  /** Something that reaches the process from outside: not after its end, and later when it is frozen. */
  guard(act: () => void, isTimer = false): () => void {
    const generation = this.#generation;
    const run = () => {
      if (!this.#alive || this.#generation !== generation) return;
      if (this.#frozen) this.#stalled.push({ isTimer, act: run });
      else act();
    };
    return run;
  }
}
