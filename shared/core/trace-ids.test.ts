import fc from "fast-check";
import { expect, test } from "vitest";
import { idFromBytes } from "./ids.js";
import { rootSpanIdOf, traceIdOf } from "./trace-ids.js";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("a job's trace has the bytes that its id was made from", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      fc.pre(bytes.slice(8).some((byte) => byte !== 0));
      const jobId = idFromBytes(bytes);
      expect(traceIdOf(jobId)).toBe(hex(bytes));
      expect(rootSpanIdOf(jobId)).toBe(hex(bytes.slice(8)));
    }),
  );
});

test("no trace and no span is all zeros, which stands for none", () => {
  const jobId = idFromBytes(new Uint8Array(16));
  expect(BigInt(`0x${traceIdOf(jobId)}`)).toBe(1n);
  expect(BigInt(`0x${rootSpanIdOf(jobId)}`)).toBe(1n);
});
