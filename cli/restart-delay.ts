/** @file How long to wait before a process that ended is started again. */

const DELAY_MS_MIN = 1_000;
const DELAY_MS_MAX = 30_000;
/** A process that lived for this long had started well: its end is a new trouble. */
const LIVED_MS = 60_000;

/** Doubles with every end soon after a start, so that a process that cannot live is no busy loop. */
export class RestartDelay {
  #startedAtMs = 0;
  #endsInARow = 0;

  /** @param nowMs milliseconds on a clock that never jumps */
  started(nowMs: number): void {
    this.#startedAtMs = nowMs;
  }

  /** @returns milliseconds until it should be started again */
  ended(nowMs: number): number {
    if (nowMs - this.#startedAtMs >= LIVED_MS) this.#endsInARow = 0;
    const delayMs = Math.min(DELAY_MS_MAX, DELAY_MS_MIN * 2 ** this.#endsInARow);
    this.#endsInARow += 1;
    return delayMs;
  }
}
