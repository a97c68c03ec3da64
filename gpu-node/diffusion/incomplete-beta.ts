/** @file The regularized incomplete beta function and its inverse, for the beta noise schedule. */
import { assert } from "../../shared/core/assert.js";

/** The continued fraction converges in about 20 terms where it is used; far more is a bug. */
const TERMS_MAX = 500;
const STEPS_MAX = 200;
const TINY = 1e-300;

/**
 * I_x(a, b): the probability that a Beta(a, b) variable is at most x. Absolute error below 1e-14.
 *
 * @param x in 0..1
 * @param a shape, > 0
 * @param b shape, > 0
 * @source Abramowitz, Stegun 26.5.8 (continued fraction) and 26.5.2 (symmetry)
 */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast only below the mean; above it, the mirror image is below.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) - logBeta(a, b)) / a;
  return front / betaFraction(x, a, b);
}

/**
 * The x whose incompleteBeta(x, a, b) is p: the quantile of the Beta(a, b) distribution.
 * Newton's steps, halved towards the bracket whenever one would leave it. Absolute error below 1e-12.
 *
 * @param p in 0..1
 */
export function inverseIncompleteBeta(p: number, a: number, b: number): number {
  assert(p >= 0 && p <= 1, `a probability, not ${p}`);
  if (p === 0 || p === 1) return p;
  // Near 1 the quantile itself is too coarse a variable: solve for the distance to 1 instead.
  if (p > incompleteBeta(0.5, a, b)) return 1 - lowerQuantile(1 - p, b, a);
  return lowerQuantile(p, a, b);
}

/** The quantile when it is known to be at most 1/2. */
function lowerQuantile(p: number, a: number, b: number): number {
  const logB = logBeta(a, b);
  let [low, high] = [0, 0.5];
  let x = Math.min(0.25, Math.exp((Math.log(p * a) + logB) / a)); // the leading term of I_x

  for (let step = 0; step < STEPS_MAX; step++) {
    const error = incompleteBeta(x, a, b) - p;
    if (error === 0) return x;
    if (error > 0) high = x;
    else low = x;
    const density = Math.exp((a - 1) * Math.log(x) + (b - 1) * Math.log1p(-x) - logB);
    const newton = x - error / density;
    const next = newton > low && newton < high ? newton : (low + high) / 2;
    if (Math.abs(next - x) <= 1e-16 * x) return next;
    x = next;
  }
  return x;
}

/** ln B(a, b) = ln Γ(a) + ln Γ(b) - ln Γ(a + b). */
function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

/** ln Γ(x) for x > 0: Stirling's series, reached by Γ(x) = Γ(x + 1) / x. Relative error 1e-15. */
function logGamma(x: number): number {
  let [shifted, product] = [x, 1];
  for (; shifted < 12; shifted++) product *= shifted;
  const inverse = 1 / shifted;
  const square = inverse * inverse;
  const series =
    inverse *
    (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))));
  const stirling = (shifted - 0.5) * Math.log(shifted) - shifted + 0.5 * Math.log(2 * Math.PI);
  return stirling + series - Math.log(product);
}

/** The denominator fraction 1 + d1/(1 + d2/(1 + …)) by the modified Lentz method. */
function betaFraction(x: number, a: number, b: number): number {
  let [value, numerator, denominator] = [1, 1, 0];
  for (let term = 1; term <= TERMS_MAX; term++) {
    const m = term >> 1;
    const coefficient =
      term % 2 === 0
        ? (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
        : (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    denominator = 1 / (1 + coefficient * denominator || TINY);
    numerator = 1 + coefficient / numerator || TINY;
    const factor = numerator * denominator;
    value *= factor;
    if (Math.abs(factor - 1) < 1e-16) return value;
  }
  return value;
}
