/** @file Figures with their targets, and how they are shown. */

export interface Figure {
  readonly name: string;
  /** What it is to be, e.g. "<= 5 s"; "" where nothing was promised. */
  readonly target: string;
  readonly measured: number;
  readonly unit: string;
  /** Null where nothing was promised. */
  readonly ok: boolean | null;
}

export function atMost(name: string, measured: number, limit: number, unit: string): Figure {
  return { name, target: `<= ${limit} ${unit}`.trim(), measured, unit, ok: measured <= limit };
}

export function atLeast(name: string, measured: number, limit: number, unit: string): Figure {
  return { name, target: `>= ${limit} ${unit}`.trim(), measured, unit, ok: measured >= limit };
}

/** For comparison only. */
export function noted(name: string, measured: number, unit: string): Figure {
  return { name, target: "", measured, unit, ok: null };
}

/** A table in Markdown. */
export function figureTable(figures: readonly Figure[]): string {
  return (
    line(["figure", "target", "measured", ""]) + line(Array(4).fill("---")) + figureRows(figures)
  );
}

/** Its rows alone. */
export function figureRows(figures: readonly Figure[]): string {
  return figures
    .map(({ name, target, measured, unit, ok }) =>
      line([name, target, `${readable(measured)} ${unit}`.trim(), verdict(ok)]),
    )
    .join("");
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |\n`;
}

function verdict(ok: boolean | null): string {
  if (ok === null) return "";
  return ok ? "ok" : "MISSED";
}

/** Three digits that count; whole numbers as they are. */
function readable(value: number): string {
  if (Number.isInteger(value)) return String(value);
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(decimals, 4));
}
