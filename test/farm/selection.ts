/** @file Which of many faults are tried: all of them, or a few that a seed chooses. */

/** Whether everything is tried that this folder knows: RENDERFARM_FAULTS=all. */
export const TRIES_ALL = process.env["RENDERFARM_FAULTS"] === "all";

/** How long faults go on in the soak test: RENDERFARM_SOAK_MINUTES; 0: a few faults and no more. */
export const SOAK_MINUTES = Number.parseFloat(process.env["RENDERFARM_SOAK_MINUTES"] ?? "0") || 0;

/** KIND=COUNT,KIND=COUNT: which processes are killed under load, and how often; "": as by default. */
const KILLS = process.env["RENDERFARM_SOAK_KILLS"] ?? "";

/** How often a kind of process is killed; one that is not named is spared where another one is. */
export function killsOf(kind: string, byDefault: number): number {
  if (KILLS === "") return byDefault;
  const named = KILLS.split(",").map((part) => part.split("="));
  return Number(named.find(([name]) => name === kind)?.[1] ?? 0);
}

/** Another number chooses other faults: RENDERFARM_FAULTS=2. */
const SEED = Number.parseInt(process.env["RENDERFARM_FAULTS"] ?? "1", 10) || 1;

/**
 * So many of the cases, one of each stretch of the list, or every one. The same seed chooses the
 * same.
 */
export function selected<T>(cases: readonly T[], count: number): readonly T[] {
  if (TRIES_ALL || cases.length <= count) return cases;
  return Array.from({ length: count }, (_, i) => {
    const start = Math.floor((i * cases.length) / count);
    const end = Math.floor(((i + 1) * cases.length) / count);
    return cases[start + (drawn(i) % (end - start))]!;
  });
}

/** A number from 0 to 2^32 - 1 for a place: one round of splitmix32. The same seed draws the same. */
export function drawn(place: number): number {
  let z = Math.imul(place + 1, 0x9e3779b9) ^ Math.imul(SEED, 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}
