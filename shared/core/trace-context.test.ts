import fc from "fast-check";
import { expect, test } from "vitest";
import { idFromBytes } from "./ids.js";
import { formatTraceparent, parseTraceparent, traceOfJob } from "./trace-context.js";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

test("a job's trace has the bytes that its id was made from", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      fc.pre(bytes.slice(8).some((byte) => byte !== 0));
      const context = { traceId: hex(bytes), spanId: hex(bytes.slice(8)), isSampled: true };
      expect(traceOfJob(idFromBytes(bytes), null)).toEqual(context);
    }),
  );
});

test("no trace and no span is all zeros, which stands for none", () => {
  const { traceId, spanId } = traceOfJob(idFromBytes(new Uint8Array(16)), null);
  expect([BigInt(`0x${traceId}`), BigInt(`0x${spanId}`)]).toEqual([1n, 1n]);
});

test("a job that a client sends from a trace is a span of that trace, sampled as it is", () => {
  const jobId = "0123456789abcdefghjkmnpqrs";
  const { spanId } = traceOfJob(jobId, null);
  for (const isSampled of [true, false]) {
    const client = formatTraceparent({ traceId: TRACE, spanId: SPAN, isSampled });
    expect(traceOfJob(jobId, client)).toEqual({ traceId: TRACE, spanId, isSampled });
  }
});

const texts: [name: string, text: string, sampled: boolean | null][] = [
  ["sampled", `00-${TRACE}-${SPAN}-01`, true],
  ["not sampled", `00-${TRACE}-${SPAN}-00`, false],
  ["with flags of later versions", `00-${TRACE}-${SPAN}-03`, true],
  ["of a later version with more fields", `cc-${TRACE}-${SPAN}-01-what`, true],
  ["empty", "", null],
  ["of the version that is none", `ff-${TRACE}-${SPAN}-01`, null],
  ["with more than its version has", `00-${TRACE}-${SPAN}-01-what`, null],
  ["in capitals", `00-${TRACE.toUpperCase()}-${SPAN}-01`, null],
  ["of no trace", `00-${"0".repeat(32)}-${SPAN}-01`, null],
  ["of no span", `00-${TRACE}-${"0".repeat(16)}-01`, null],
  ["too short", `00-${TRACE}-${SPAN.slice(1)}-01`, null],
];

test.each(texts)("a traceparent %s is read as W3C says", (_name, text, isSampled) => {
  const context = { traceId: TRACE, spanId: SPAN, isSampled };
  expect(parseTraceparent(text)).toEqual(isSampled === null ? null : context);
});
