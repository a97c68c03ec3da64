/**
 * @file The trace of a job: its ids follow from the job's own id, so that every process names the same
 * trace, after a failover and a restart too, and without a header on any message.
 */

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/** @returns 32 hex digits: the 128 bits that the id stands for */
export function traceIdOf(jobId: string): string {
  const value = [...jobId].reduce(
    (sum, c) => sum * 32n + BigInt(Math.max(0, ALPHABET.indexOf(c))),
    0n,
  );
  const digits = (value & ((1n << 128n) - 1n)).toString(16).padStart(32, "0");
  // A trace of zeros is none.
  return digits === "0".repeat(32) ? `${"0".repeat(31)}1` : digits;
}

/** @returns 16 hex digits: the span that stands for the whole job */
export function rootSpanIdOf(jobId: string): string {
  const half = traceIdOf(jobId).slice(16);
  return half === "0".repeat(16) ? `${"0".repeat(15)}1` : half;
}
