/** @file Spans of time as people write them: "90s", "10m", "2h", "30d". */

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** @returns milliseconds; null for a text that is no span of time, or one above 100,000 of its unit */
export function parseDuration(text: string): number | null {
  const [, count, unit] = /^(\d{1,5})([smhd])$/.exec(text.trim()) ?? [];
  return count === undefined || unit === undefined ? null : Number(count) * UNIT_MS[unit]!;
}
