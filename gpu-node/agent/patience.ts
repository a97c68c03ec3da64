/**
 * @file Waiting for a blob store that is away, instead of failing the task.
 *
 * A store that stands still stands still for every node, so a failed task would only fail on the
 * next node too, until its attempts are spent.
 */
import { FarmError } from "../../shared/core/errors.js";
import type { Clock } from "../../shared/ports/clock.js";

export interface Patience {
  readonly clock: Clock;
  /** Ends the waiting: the task is no longer wanted. */
  readonly signal: AbortSignal;
  /** A number from 0 to 1, so that the nodes of a farm do not come back all at once. */
  readonly random: () => number;
  /** Hears, once, that there is something to wait for. */
  readonly onAway?: ((reason: FarmError) => void) | undefined;
}

/** After this long a task fails all the same, and a person hears of it. */
export const PATIENCE_MS_MAX = 600_000;
/** The first pause; each one after it is twice as long. */
const PAUSE_MS_MIN = 500;
const PAUSE_MS_MAX = 15_000;

/**
 * Does some work that may be done again, until it succeeds or fails for another reason than
 * "unreachable".
 *
 * @throws what the work throws last
 */
export async function patiently<T>(work: () => Promise<T>, patience: Patience): Promise<T> {
  const { clock, signal, random } = patience;
  const startMs = clock.nowMs();
  let hasSaid = false;
  for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
    try {
      return await work();
    } catch (error) {
      const isAway = error instanceof FarmError && error.code === "unreachable";
      const isSpent = clock.nowMs() - startMs >= PATIENCE_MS_MAX;
      if (!isAway || isSpent || signal.aborted) throw error;
      if (!hasSaid) patience.onAway?.(error);
      hasSaid = true;
    }
    await pause(clock, pauseMs * (0.5 + random() / 2), signal);
  }
}

/** Ends early when the signal does. */
function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.after(ms, end);
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
  });
}
