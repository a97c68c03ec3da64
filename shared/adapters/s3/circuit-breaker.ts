/**
 * @file A circuit breaker: when a server failed some times in a row, callers are told at once.
 *
 * After a while one call is let through; it decides whether the others may follow.
 */

export interface BreakerLimits {
  /** Failures in a row that open it. */
  readonly failuresMax: number;
  /** How long it stays open before one call may try, milliseconds. */
  readonly openMs: number;
}

type State =
  | { readonly kind: "closed"; readonly failures: number }
  | { readonly kind: "open"; readonly untilMs: number }
  | { readonly kind: "trying" };

export class CircuitBreaker {
  readonly #limits: BreakerLimits;
  readonly #nowMs: () => number;
  #state: State = { kind: "closed", failures: 0 };

  /** @param nowMs a clock that never jumps */
  constructor(limits: BreakerLimits, nowMs: () => number) {
    this.#limits = limits;
    this.#nowMs = nowMs;
  }

  /** Whether a call may go on; who gets true reports how it ended. */
  admit(): boolean {
    switch (this.#state.kind) {
      case "closed":
        return true;
      case "trying":
        return false;
      case "open":
        if (this.#nowMs() < this.#state.untilMs) return false;
        this.#state = { kind: "trying" };
        return true;
    }
  }

  /** The server answered, be it with a refusal. */
  succeeded(): void {
    this.#state = { kind: "closed", failures: 0 };
  }

  /** The server did not answer, or cannot work. */
  failed(): void {
    const failures = this.#state.kind === "closed" ? this.#state.failures + 1 : Infinity;
    // Calls that were on their way when it opened must not keep it open for longer.
    if (this.#state.kind === "open") return;
    this.#state =
      failures < this.#limits.failuresMax
        ? { kind: "closed", failures }
        : { kind: "open", untilMs: this.#nowMs() + this.#limits.openMs };
  }
}
