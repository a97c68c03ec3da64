/** @file A clock that several processes share. */

/** Milliseconds since the machine started: equal in every process of the machine, never set back. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
