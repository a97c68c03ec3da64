import { describe, expect, test } from "vitest";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from "./float16.js";

const ALL_PATTERNS = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);

/** The value of a pattern by the definition of IEEE 754, in exact double arithmetic. */
function patternValue(bits: number, exponentBits: number, mantissaBits: number): number {
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >>> mantissaBits;
  const mantissa = bits & (2 ** mantissaBits - 1);
  if (exponent === 2 ** exponentBits - 1) return mantissa === 0 ? sign * Infinity : Number.NaN;
  const fraction = mantissa / 2 ** mantissaBits;
  return exponent === 0
    ? sign * fraction * 2 ** (1 - bias)
    : sign * (1 + fraction) * 2 ** (exponent - bias);
}

const formats = [
  {
    name: "float16",
    widen: float16ToFloat32,
    narrow: float32ToFloat16,
    exponentBits: 5,
    mantissaBits: 10,
  },
  {
    name: "bfloat16",
    widen: bfloat16ToFloat32,
    narrow: float32ToBfloat16,
    exponentBits: 8,
    mantissaBits: 7,
  },
];

describe.each(formats)("$name", ({ widen, narrow, exponentBits, mantissaBits }) => {
  const expected = Array.from(ALL_PATTERNS, (bits) =>
    patternValue(bits, exponentBits, mantissaBits),
  );
  const infinity = (2 ** exponentBits - 1) << mantissaBits;

  test("every pattern widens to the value IEEE 754 defines", () => {
    const widened = widen(ALL_PATTERNS);
    const wrong = expected.findIndex((value, bits) => !Object.is(value, widened[bits]));
    expect(wrong).toBe(-1);
  });

  test("every value narrows back to its own pattern", () => {
    const narrowed = narrow(widen(ALL_PATTERNS));
    const wrong = expected.findIndex((v, bits) => !Number.isNaN(v) && narrowed[bits] !== bits);
    expect(wrong).toBe(-1);
  });

  test("NaN stays NaN", () => {
    const nans = ALL_PATTERNS.filter((_, bits) => Number.isNaN(expected[bits]));
    expect(widen(narrow(widen(nans))).every(Number.isNaN)).toBe(true);
  });

  test("halfway between neighbours rounds to even, and a hair beside it to the nearer", () => {
    for (let low = 0; low < infinity; low++) {
      // Infinity takes the place of the next power of two.
      const high = low + 1 === infinity ? 2 ** (2 ** (exponentBits - 1)) : expected[low + 1]!;
      const middle = new Float32Array([(expected[low]! + high) / 2]);
      const below = neighbour(middle, -1);
      const above = neighbour(middle, 1);
      const even = low % 2 === 0 ? low : low + 1;
      const got = [...narrow(middle), ...narrow(below), ...narrow(above)];
      if (got[0] !== even || got[1] !== low || got[2] !== low + 1) {
        expect.fail(`between ${low} and ${low + 1}: ${got.join(", ")}`);
      }
      expect(narrow(middle.map((v) => -v))[0]).toBe(even | 0x8000);
    }
  });
});

/** The next float32 above or below a positive one. */
function neighbour(value: Float32Array, step: 1 | -1): Float32Array {
  const copy = value.slice();
  new Uint32Array(copy.buffer)[0]! += step;
  return copy;
}

test("a view into a larger buffer narrows its own values only", () => {
  const view = new Float32Array([9, 1, -2, 9]).subarray(1, 3);
  expect([...float32ToFloat16(view)]).toEqual([0x3c00, 0xc000]);
  expect([...float32ToBfloat16(view)]).toEqual([0x3f80, 0xc000]);
});
