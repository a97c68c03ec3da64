/** @file Tables of text on stdout: columns as wide as their widest cell. */

/** @param rows cells in the order of the headings */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const lines = [headings, ...rows];
  const widths = headings.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  const format = (line: readonly string[]) =>
    line
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return lines.map((line) => `${format(line)}\n`).join("");
}

export function printTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  process.stdout.write(formatTable(headings, rows));
}
