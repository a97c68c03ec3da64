/** @file A line of the log for every step of a denoising, with what it was spent on; at level debug. */
import { performance } from "node:perf_hooks";
import type { Logger } from "pino";
import type { GuidanceHalf } from "../../shared/farm/work.js";
import { type DenoisePlanKind, type NodeObserver, silentNodeObserver } from "./node-observer.js";

/** What is known of the step in hand; times are milliseconds since 1970, with fractions. */
interface Step {
  computeS: number;
  combineS: number;
  waitS: number;
  sentBytes: number;
  halfMadeAt: number;
}

const NOTHING: Step = {
  ...{ computeS: 0, combineS: 0, waitS: 0, sentBytes: 0, halfMadeAt: 0 },
};

/** Of one node, which denoises one clip at a time. */
export class StepLog {
  readonly #log: Logger;
  #step: Step = { ...NOTHING };
  /** When the partner's halves came, the oldest first: it may be a step ahead. */
  readonly #cameAt: number[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  /** To be told of the steps. */
  get observer(): NodeObserver {
    return {
      ...silentNodeObserver,
      halfMade: (half, seconds) => this.halfMade(half, seconds),
      halfSent: (bytes) => this.halfSent(bytes),
      halfCame: () => this.halfCame(),
      waited: (seconds) => this.waited(seconds),
      combined: (seconds) => this.combined(seconds),
      stepMade: (plan, seconds) => this.stepMade(plan, seconds),
    };
  }

  halfMade(_half: GuidanceHalf, seconds: number): void {
    this.#step.computeS += seconds;
    this.#step.halfMadeAt = wallMs();
  }

  halfSent(bytes: number): void {
    this.#step.sentBytes += bytes;
  }

  halfCame(): void {
    this.#cameAt.push(wallMs());
  }

  waited(seconds: number): void {
    this.#step.waitS += Math.max(0, seconds);
  }

  combined(seconds: number): void {
    this.#step.combineS += seconds;
  }

  stepMade(plan: DenoisePlanKind, seconds: number): void {
    const { computeS, waitS, combineS, sentBytes, halfMadeAt } = this.#step;
    const spent = { step_s: seconds, compute_s: computeS, wait_s: waitS, combine_s: combineS };
    const pair = {
      sent_bytes: sentBytes,
      half_made_at: halfMadeAt,
      partner_half_at: this.#cameAt.shift() ?? null,
    };
    this.#log.debug({ plan, ...spent, ...(plan === "pair" ? pair : {}) }, "time of a step");
    this.#step = { ...NOTHING };
  }
}

/** Comparable between the processes of one machine, to microseconds. */
function wallMs(): number {
  return performance.timeOrigin + performance.now();
}
