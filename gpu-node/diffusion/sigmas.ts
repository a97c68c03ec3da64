/** @file Three ways to space noise levels between a largest and a smallest one. */
import { inverseIncompleteBeta } from "./incomplete-beta.js";

export interface SigmaRange {
  /** Smallest and largest noise level, dimensionless, 0 < min <= max. */
  readonly min: number;
  readonly max: number;
}

/**
 * Levels evenly spaced in sigma^(1/7): most of them small.
 *
 * @param count an integer, at least 1; 1 gives the largest level alone
 * @returns [count], falling from max to min
 * @source Karras et al. 2022 (arXiv:2206.00364), eq. 5; diffusers _convert_to_karras (rho = 7)
 */
export function karrasSigmas(count: number, range: SigmaRange): number[] {
  const rho = 7;
  const [low, high] = [range.min ** (1 / rho), range.max ** (1 / rho)];
  return unitRamp(count).map((t) => (high + t * (low - high)) ** rho);
}

/**
 * Levels evenly spaced in ln(sigma).
 *
 * @source diffusers schedulers/scheduling_euler_discrete.py, _convert_to_exponential
 */
export function exponentialSigmas(count: number, range: SigmaRange): number[] {
  const [low, high] = [Math.log(range.min), Math.log(range.max)];
  return unitRamp(count).map((t) => Math.exp(high + t * (low - high)));
}

/**
 * Levels at the quantiles of the Beta(0.6, 0.6) distribution: dense at both ends.
 *
 * @source Lee et al. 2024, "Beta Sampling is All You Need" (arXiv:2407.12173); diffusers
 *   schedulers/scheduling_euler_discrete.py, _convert_to_beta (alpha = beta = 0.6)
 */
export function betaSigmas(count: number, range: SigmaRange): number[] {
  return unitRamp(count).map(
    (t) => range.min + inverseIncompleteBeta(1 - t, 0.6, 0.6) * (range.max - range.min),
  );
}

/** numpy.linspace(0, 1, count) in double precision; a single value is 0. */
function unitRamp(count: number): number[] {
  const step = 1 / (count - 1);
  return Array.from({ length: count }, (_, i) => (i === 0 ? 0 : i === count - 1 ? 1 : i * step));
}
