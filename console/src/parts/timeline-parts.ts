/** @file What a denoising's time went into: the parts of its bar, and the same in words. */
import type { DenoiseTimeJson } from "../api/types.js";

/** By height as well as by colour: the less of it was computing, the lower. */
export const PARTS = [
  { part: "compute", word: "in a denoising: computing" },
  { part: "exchange", word: "waiting for the partner's half" },
  { part: "rest", word: "the rest of it" },
] as const;

export type Part = (typeof PARTS)[number]["part"];

/** A stretch of a bar, as long as all of its part together: a sum, not the order in time. */
export interface Stretch {
  readonly part: Part;
  readonly startMs: number;
  readonly endMs: number;
}

/** Seconds of each part; they add up to the bar. */
type Shares = Readonly<Record<Part, number>>;

/** @param tookSeconds of the whole bar; what is measured of it may be a little more */
export function sharesOf(spent: DenoiseTimeJson, tookSeconds: number): Shares {
  const { computeSeconds, exchangeSeconds } = spent;
  const measured = computeSeconds + exchangeSeconds;
  const scale = measured > tookSeconds ? tookSeconds / measured : 1;
  const compute = computeSeconds * scale;
  const exchange = exchangeSeconds * scale;
  return { compute, exchange, rest: Math.max(0, tookSeconds - compute - exchange) };
}

/** @returns none where nothing is known or the bar has no length; empty parts are left out */
export function stretchesOf(
  startMs: number,
  endMs: number,
  spent: DenoiseTimeJson | null,
): Stretch[] {
  if (spent === null || endMs <= startMs) return [];
  const shares = sharesOf(spent, (endMs - startMs) / 1000);
  const stretches: Stretch[] = [];
  let atMs = startMs;
  for (const { part } of PARTS) {
    const toMs = Math.min(endMs, atMs + shares[part] * 1000);
    if (toMs > atMs) stretches.push({ part, startMs: atMs, endMs: toMs });
    atMs = toMs;
  }
  return stretches;
}

/**
 * @param tookSeconds of the whole bar
 * @param isPair its wait is told, be it none
 * @param shown how seconds are written
 * @returns e.g. "computed 2 s, waited for the partner's half 0.5 s, rest 0.3 s"
 */
export function spentWords(
  spent: DenoiseTimeJson,
  tookSeconds: number,
  isPair: boolean,
  shown: (seconds: number) => string,
): string {
  const { compute, exchange, rest } = sharesOf(spent, tookSeconds);
  const waited = isPair ? [`waited for the partner's half ${shown(exchange)}`] : [];
  return [`computed ${shown(compute)}`, ...waited, `rest ${shown(rest)}`].join(", ");
}

/** What else was measured: part of the rest, and saves, which run beside the steps and which nobody waits for. */
export function restWords(spent: DenoiseTimeJson, shown: (seconds: number) => string): string {
  const { combineSeconds, saveSeconds, steps } = spent;
  const saved = saveSeconds > 0 ? `; saving latents meanwhile ${shown(saveSeconds)}` : "";
  const made = steps === 1 ? "1 step" : `${steps} steps`;
  return `${made}: guidance and Euler step ${shown(combineSeconds)}${saved}`;
}
