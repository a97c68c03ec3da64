/**
 * @file W3C Trace Context of jobs: which trace a span belongs to, and under which span it stands.
 *
 * A job's own span has an id that follows from the job's id, and so has its trace where the client names
 * none: every process names the same one, after a failover and a restart too.
 *
 * @source https://www.w3.org/TR/trace-context/#traceparent-header
 */

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 0x01;

/** Names one span. */
export interface TraceContext {
  /** 32 hex digits, not all zeros. */
  readonly traceId: string;
  /** 16 hex digits, not all zeros. */
  readonly spanId: string;
  /** Whether whoever began the trace wants its spans kept. */
  readonly isSampled: boolean;
}

/** Null for anything that is no traceparent: the standard wants a new trace then, not an error. */
export function parseTraceparent(text: string): TraceContext | null {
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(text) ?? [];
  if (!version || !traceId || !spanId || !flags || version === "ff") return null;
  // Only later versions may have more fields.
  if (version === "00" && more !== undefined) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

export function formatTraceparent({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
}

/**
 * The span that stands for a whole job.
 *
 * @param clientTraceparent the span of whoever sent the job, under which it stands; null: under none
 */
export function traceOfJob(jobId: string, clientTraceparent: string | null): TraceContext {
  const client = clientTraceparent === null ? null : parseTraceparent(clientTraceparent);
  const ownId = traceIdOf(jobId);
  return {
    traceId: client?.traceId ?? ownId,
    spanId: notZero(ownId.slice(16)),
    isSampled: client?.isSampled ?? true,
  };
}

/** @returns 32 hex digits: the 128 bits that the id stands for */
function traceIdOf(jobId: string): string {
  const value = [...jobId].reduce(
    (sum, c) => sum * 32n + BigInt(Math.max(0, ALPHABET.indexOf(c))),
    0n,
  );
  return notZero((value & ((1n << 128n) - 1n)).toString(16).padStart(32, "0"));
}

/** An id of zeros is none. */
function notZero(digits: string): string {
  return /^0+$/.test(digits) ? `${digits.slice(1)}1` : digits;
}
