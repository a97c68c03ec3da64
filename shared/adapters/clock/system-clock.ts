/** @file The real clock: monotonic, unmoved by changes of the wall clock. */
import { performance } from "node:perf_hooks";
import type { Clock } from "../../ports/clock.js";

export const systemClock = {
  nowMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
} satisfies Clock;
