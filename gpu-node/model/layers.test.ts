/** @file Layers whose graph is not the textbook's, against the textbook. */
import { describe, expect, test } from "vitest";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { maxDifference } from "../../test/golden/read-golden.js";
import { runGraph } from "../../test/golden/run-graph.js";
import { timesteps } from "./embeddings.js";
import { conv } from "./ops-linear.js";
import { resizeNearest } from "./ops-shape.js";
import { doubleAndConvolve } from "./upsampling.js";

/** Values in -1..1, the same every time. */
function noise(shape: readonly number[], seed: number): Tensor {
  let state = seed;
  const values = Float32Array.from({ length: elementCount(shape) }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state / 0x3fffffff - 1;
  });
  return tensor(shape, values);
}

describe("upsampling by four small kernels", () => {
  test.each([[[1, 3, 1, 1]], [[2, 3, 4, 5]]])(
    "of %j is the doubled picture convolved",
    async (shape) => {
      const [n, c, height, width] = shape as [number, number, number, number];
      const inputs = [noise(shape, 1), noise([c, c, 3, 3], 2), noise([c], 3)];
      const fast = await runGraph(inputs, ([x, w, b]) => doubleAndConvolve(x!, w!, b!));
      const plain = await runGraph(inputs, ([x, w, b]) =>
        conv(resizeNearest(x!, 2 * height, 2 * width), w!, b!, { pads: [1, 1, 1, 1] }),
      );
      expect(fast.shape).toEqual([n, c, 2 * height, 2 * width]);
      expect(maxDifference(fast.data, plain.data)).toBeLessThan(2e-6);
    },
  );
});

describe("nearest neighbour", () => {
  const cases: [to: [number, number], rows: number[][]][] = [
    [
      [4, 6],
      [
        [1, 1, 2, 2, 3, 3],
        [1, 1, 2, 2, 3, 3],
        [4, 4, 5, 5, 6, 6],
        [4, 4, 5, 5, 6, 6],
      ],
    ],
    [
      [3, 5],
      [
        [1, 1, 2, 2, 3],
        [1, 1, 2, 2, 3],
        [4, 4, 5, 5, 6],
      ],
    ],
    [
      [4, 5],
      [
        [1, 1, 2, 2, 3],
        [1, 1, 2, 2, 3],
        [4, 4, 5, 5, 6],
        [4, 4, 5, 5, 6],
      ],
    ],
  ];
  test.each(cases)("from 2x3 to %j", async ([height, width], rows) => {
    const x = tensor([1, 1, 2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
    const resized = await runGraph([x], ([value]) => resizeNearest(value!, height, width));
    expect([...resized.data]).toEqual(rows.flat());
  });
});

describe("sinusoids of a number", () => {
  test.each([
    ["an even width", 4],
    ["an odd width, which ends with 0", 5],
  ])("cosines, then sines, for %s", async (_name, width) => {
    const numbers = [0, 1.25, 127];
    const t = tensor([3], Float32Array.from(numbers));
    const { data } = await runGraph([t], ([value]) => timesteps(value!, width));
    const frequencies = [1, 0.01]; // 10000^(-i/2)
    const expected = numbers.flatMap((n) => [
      ...frequencies.map((f) => Math.cos(n * f)),
      ...frequencies.map((f) => Math.sin(n * f)),
      ...(width === 5 ? [0] : []),
    ]);
    expect(maxDifference(data, expected)).toBeLessThan(2e-6);
  });
});
