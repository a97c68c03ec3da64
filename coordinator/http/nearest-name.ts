/** @file What somebody may have meant by a name that there is not. */

/** The name that differs in the fewest letters, when those are few; else null. */
export function nearestName(wanted: string, names: readonly string[]): string | null {
  if (wanted.length > 80) return null;
  const ranked = names
    .map((name) => ({ name, changes: changesBetween(wanted.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.changes - b.changes);
  const nearest = ranked[0];
  return nearest && nearest.changes <= Math.max(2, wanted.length / 3) ? nearest.name : null;
}

/** Letters to insert, remove or replace: Levenshtein's distance, a row at a time. */
function changesBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
