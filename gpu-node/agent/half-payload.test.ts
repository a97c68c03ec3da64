import { expect, test } from "vitest";
import type { FrameHeader } from "../../shared/ports/tensor-bus.js";
import { tensor } from "../../shared/tensor/tensor.js";
import { decodeHalf, encodeHalf } from "./half-payload.js";

// Each of them a float16 as well: the largest, the smallest, and both zeros.
const half = tensor([1, 6], Float32Array.of(0.5, -2, 65_504, 2 ** -24, 0, -0));

test.each([
  ["float32", "F32", 24],
  ["float16", "F16", 12],
] as const)("a half of a %s graph travels as %s, unchanged", (computed, dtype, bytes) => {
  const { payload, ...sent } = encodeHalf(half, computed);
  expect([sent.dtype, payload.byteLength]).toEqual([dtype, bytes]);
  const header = { dtype, shape: half.shape } as FrameHeader;
  expect(decodeHalf({ header, payload })).toEqual(half);
  const unaligned = new Uint8Array(bytes + 1);
  unaligned.set(payload, 1);
  expect(decodeHalf({ header, payload: unaligned.subarray(1) })).toEqual(half);
});
