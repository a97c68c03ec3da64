/**
 * @file A fault that clogs links one after the other, in any order, until some or all of them are
 * down, and then unclogs them in any other order.
 *
 * @source FoundationDB's "swizzle-clogging" (W. Wilson, "Testing Distributed Systems with
 *   Deterministic Simulation", 2014)
 */
import type { Random } from "./random.js";

/** One direction of one link, for a while. */
export interface Clog {
  readonly from: string;
  readonly to: string;
  readonly afterMs: number;
  readonly durationMs: number;
}

export interface Swizzle {
  readonly clogs: readonly Clog[];
  /** For a moment nothing reaches anything. */
  readonly isEveryLink: boolean;
}

/** @param places every two of them have a link, each direction of which clogs by itself */
export function planSwizzle(places: readonly string[], random: Random): Swizzle {
  const links = places.flatMap((from) =>
    places.filter((to) => to !== from).map((to) => ({ from, to })),
  );
  const count = random.chance(0.3) ? links.length : random.integer(1, links.length);
  const chosen = shuffled(links, random).slice(0, count);
  const stepMs = random.pick([20, 150, 500]);
  let atMs = 0;
  const begins = chosen.map((link) => {
    atMs += random.between(0, 2 * stepMs);
    return { ...link, afterMs: atMs };
  });
  atMs += random.pick([0, 1_000, 6_000]);
  const clogs = shuffled(begins, random).map((clog) => {
    atMs += random.between(0, 2 * stepMs);
    return { ...clog, durationMs: atMs - clog.afterMs };
  });
  return { clogs, isEveryLink: count === links.length };
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.integer(0, i);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
