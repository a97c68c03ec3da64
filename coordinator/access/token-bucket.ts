/** @file A rate with a burst: a bucket that fills with time and is emptied by what comes. */

export interface Rate {
  readonly perSecond: number;
  /** What may come at once after a pause. */
  readonly burst: number;
}

export class TokenBucket {
  #level: number;
  #atMs: number;

  /** Full at first. */
  constructor({ burst }: Rate, nowMs: number) {
    this.#level = burst;
    this.#atMs = nowMs;
  }

  /** @returns 0 when it was taken, else milliseconds until as much would be there; nothing is taken then */
  take(rate: Rate, amount: number, nowMs: number): number {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#level = Math.min(rate.burst, this.#level + (elapsedMs / 1_000) * rate.perSecond);
    this.#atMs = nowMs;
    if (this.#level >= amount) {
      this.#level -= amount;
      return 0;
    }
    return Math.max(1, Math.ceil(((amount - this.#level) / rate.perSecond) * 1_000));
  }
}
