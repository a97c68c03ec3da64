/** @file JSON that may hold 64-bit integers. */

const MARK = "\u0000integer ";

/**
 * As JSON.stringify with two spaces, but a bigint comes out as an integer of any size, as JSON
 * allows; a reader in JavaScript rounds those above 2^53.
 */
export function stringifyJson(value: object): string {
  const text = JSON.stringify(
    value,
    (_key, field: unknown) => (typeof field === "bigint" ? `${MARK}${field}` : field),
    2,
  );
  return text.replace(/"\\u0000integer (-?\d+)"/g, "$1");
}
