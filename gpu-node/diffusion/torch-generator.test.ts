import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { goldenTensor, maxDifference, readGolden } from "../../test/golden/read-golden.js";
import { createTorchGenerator, seedProblem } from "./torch-generator.js";

const golden = readGolden("parts/torch_randn.safetensors");

describe("randn equals torch.randn", () => {
  const single = [...golden].filter(([name]) => name.startsWith("randn/"));

  test.each(single)("%s", (name, expected) => {
    const seed = BigInt(name.split("/")[1]!);
    const actual = createTorchGenerator(seed).randn(expected.data.length);
    expect(maxDifference(actual, expected.data)).toBeLessThanOrEqual(1e-6);
  });

  test("for a second draw from the same generator", () => {
    const first = goldenTensor(golden, "randn_twice/42/1x3x9x11").data;
    const second = goldenTensor(golden, "randn_twice/42/then_33").data;
    const generator = createTorchGenerator(42);
    expect(maxDifference(generator.randn(first.length), first)).toBeLessThanOrEqual(1e-6);
    expect(maxDifference(generator.randn(33), second)).toBeLessThanOrEqual(1e-6);
  });

  test("for seeds that agree in their low 32 bits, which are all that the twister takes", () => {
    const low = createTorchGenerator(7).randn(20);
    expect(createTorchGenerator((5n << 32n) | 7n).randn(20)).toEqual(low);
    expect(createTorchGenerator(8).randn(20)).not.toEqual(low);
  });
});

describe("the normal that a short draw keeps", () => {
  test("survives a long draw between two short ones", () => {
    const alone = createTorchGenerator(3).randn(6);
    const generator = createTorchGenerator(3);
    expect(generator.randn(5)).toEqual(alone.slice(0, 5));
    generator.randn(64);
    expect(generator.randn(1)).toEqual(alone.slice(5));
  });
});

describe("walking past values", () => {
  const size = fc.integer({ min: 1, max: 200 });
  const seed = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

  test("skipRandn(n) leaves the generator where randn(n) does", () => {
    fc.assert(
      fc.property(seed, size, size, (seedValue, n, m) => {
        const [taker, skipper] = [createTorchGenerator(seedValue), createTorchGenerator(seedValue)];
        taker.randn(n);
        skipper.skipRandn(n);
        expect(skipper.randn(m)).toEqual(taker.randn(m));
        expect(skipper.randn(3)).toEqual(taker.randn(3));
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test("randnSlice gives the values of randn, and moves on as far", () => {
    const cut = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(seed, size, cut, cut, (seedValue, n, a, b) => {
        const start = Math.floor(n * Math.min(a, b));
        const end = Math.ceil(n * Math.max(a, b));
        const [whole, part] = [createTorchGenerator(seedValue), createTorchGenerator(seedValue)];
        expect(part.randnSlice(n, start, end)).toEqual(whole.randn(n).slice(start, end));
        expect(part.randn(17)).toEqual(whole.randn(17));
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  test("walks past a hundred million values of clips it does not render", () => {
    const generator = createTorchGenerator(1);
    generator.skipRandn(100_000_000);
    expect(generator.randn(16).every(Number.isFinite)).toBe(true);
  });
});

test.each([-1, 1.5, Number.NaN, 2 ** 53, -1n, 2n ** 64n])("seed %s is refused", (seed) => {
  expect(seedProblem(seed)).toContain("0..18446744073709551615");
  expect(() => createTorchGenerator(seed)).toThrow("[invalid-argument]");
});

test.each([0, 2 ** 53 - 1, 0n, 2n ** 64n - 1n])("seed %s is taken", (seed) => {
  expect(seedProblem(seed)).toBeNull();
  expect(createTorchGenerator(seed).randn(2)).toHaveLength(2);
});
