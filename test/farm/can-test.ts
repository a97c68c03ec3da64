/** @file What a machine has to have for some tests. */

/**
 * Whether tests that need something run; says why where they do not.
 *
 * @param why it cannot be had here; null where it can
 * @throws Error instead of false when RENDERFARM_REQUIRE_SERVERS is 1
 */
export function canTest(what: string, why: string | null): boolean {
  if (why === null) return true;
  const text = `tests with ${what} are left out: ${why}`;
  if (process.env["RENDERFARM_REQUIRE_SERVERS"] === "1") throw new Error(text);
  process.stderr.write(`${text}\n`);
  return false;
}
