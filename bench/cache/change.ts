/** @file How far two clips are apart. */

/** Of pixels in 0..1. */
export interface Change {
  /** Of the absolute differences. */
  readonly mean: number;
  readonly largest: number;
  /** Decibels; Infinity where nothing differs. */
  readonly psnr: number;
}

/** @param clip pixels in 0..1, as many as `exact` has */
export function changeOf(clip: Float32Array, exact: Float32Array): Change {
  let [sum, squares, largest] = [0, 0, 0];
  for (let i = 0; i < exact.length; i++) {
    const difference = Math.abs(clip[i]! - exact[i]!);
    sum += difference;
    squares += difference ** 2;
    largest = Math.max(largest, difference);
  }
  const { length } = exact;
  return { mean: sum / length, largest, psnr: -10 * Math.log10(squares / length) };
}
