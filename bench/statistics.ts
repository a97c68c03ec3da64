/** @file Medians of repeated measurements. */

/** @param values at least one number */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** Seconds that each of `rounds` runs takes, after one that is not counted. */
export async function timeRuns(rounds: number, run: () => Promise<unknown>): Promise<number[]> {
  await run();
  const seconds: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const startMs = performance.now();
    await run();
    seconds.push((performance.now() - startMs) / 1000);
  }
  return seconds;
}
