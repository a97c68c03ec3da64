/** @file What the durations of a clip's steps say: how long one takes, and how late a partner may be. */

/** A partner may be late by this factor of the median step. */
const LATE_FACTOR = 3;
/** But never by less than this: short steps are no reason for a false alarm. */
const LATE_MS_MIN = 10_000;
/** Before a step was measured: the partner may still be loading its model. */
const FIRST_LATE_MS_MIN = 60_000;
/** Values that a rolling median looks back on. */
const MEDIAN_WINDOW = 8;

/** Median duration of the steps in seconds; 0 before the first. */
export function secondsPerStep(stepsMs: readonly number[]): number {
  return median(stepsMs) / 1_000;
}

/**
 * How long to wait for the partner's half after the own one.
 *
 * @param stepsMs durations of the steps made
 * @param halfMs how long the own half took
 */
export function partnerDeadlineMs(stepsMs: readonly number[], halfMs: number): number {
  if (stepsMs.length === 0) return Math.max(LATE_FACTOR * halfMs, FIRST_LATE_MS_MIN);
  return Math.max(LATE_FACTOR * recentMedian(stepsMs), LATE_MS_MIN);
}

/** Median of the latest values; 0 where there are none. */
export function recentMedian(values: readonly number[]): number {
  return median(values.slice(-MEDIAN_WINDOW));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return sorted.length === 0 ? 0 : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
