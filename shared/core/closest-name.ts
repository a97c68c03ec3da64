/** @file What somebody who mistyped a name may have meant. */

/** A name further away than this, or than half of its length, is no typing error. */
const DISTANCE_MAX = 3;

/** ", did you mean 'name'?", or "" when no name is near. */
export function didYouMean(written: string, known: readonly string[]): string {
  const name = closestName(written, known);
  return name === null ? "" : `, did you mean '${name}'?`;
}

/**
 * The known name that is nearest to what was written.
 *
 * @returns null when none is near
 */
function closestName(written: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.min(DISTANCE_MAX, Math.ceil(written.length / 2)) + 1;
  for (const name of known) {
    const distance = editDistance(written.toLowerCase(), name.toLowerCase());
    if (distance < least) [best, least] = [name, distance];
  }
  return best;
}

/** Letters to insert, remove, replace or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? before[j - 2]! + 1 : change;
      next.push(Math.min(change, swap, row[j]! + 1, next[j - 1]! + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
