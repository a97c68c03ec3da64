/** @file Amounts of memory as people write them: "24GiB", "512 MiB", "8000000000". */

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};

/** @returns whole bytes, at least 1; null for a text that is no amount */
export function parseBytes(text: string): number | null {
  const [, amount, unit] = /^(\d{1,15}(?:\.\d{1,6})?) ?([KMGT]?I?B?)$/i.exec(text.trim()) ?? [];
  const factor = unit === undefined ? undefined : UNITS[unit.toUpperCase()];
  if (amount === undefined || factor === undefined) return null;
  const bytes = Math.floor(Number(amount) * factor);
  return Number.isSafeInteger(bytes) && bytes >= 1 ? bytes : null;
}

/** With one digit behind the point: "24.0 GiB"; below 1 KiB in bytes. */
export function formatBytes(bytes: number): string {
  const units = ["TiB", "GiB", "MiB", "KiB"] as const;
  const unit = units.find((name) => bytes >= UNITS[name.toUpperCase()]!);
  return unit ? `${(bytes / UNITS[unit.toUpperCase()]!).toFixed(1)} ${unit}` : `${bytes} B`;
}
