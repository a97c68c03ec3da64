import { describe, expect, test } from "vitest";
import { GraphBuilder, type Value } from "./graph-builder.js";
import { conv, gemmTransB, matMul, multiHeadAttention } from "./ops-linear.js";
import { add, sigmoid } from "./ops-math.js";
import { reshape } from "./ops-shape.js";

type Shape = readonly number[];

/** Costs of a graph on inputs of these shapes. */
function costs(shapes: readonly Shape[], build: (...inputs: Value[]) => Value) {
  const g = new GraphBuilder("test");
  g.output("y", build(...shapes.map((shape, i) => g.input(`x${i}`, shape))));
  return g.build(0).costs;
}

describe("multiplications of", () => {
  type Case = [name: string, inputs: Shape[], build: (...x: Value[]) => Value, count: number];
  const weight = (like: Value, ...shape: number[]) =>
    like.graph.floats(shape, new Float32Array(shape.reduce((a, b) => a * b)));
  const cases: Case[] = [
    [
      "a convolution: outputs times kernel",
      [[2, 3, 8, 8]],
      (x) => conv(x!, weight(x!, 5, 3, 3, 3), null, { pads: [1, 1, 1, 1] }),
      2 * 5 * 8 * 8 * (3 * 3 * 3),
    ],
    ["a linear layer", [[7, 4]], (x) => gemmTransB(x!, weight(x!, 6, 4), null), 7 * 6 * 4],
    [
      "a product over leading axes",
      [
        [2, 3, 4, 5],
        [2, 3, 5, 6],
      ],
      (a, b) => matMul(a!, b!),
      2 * 3 * 4 * 5 * 6,
    ],
    [
      "attention: scores and their sum",
      [
        [2, 9, 8],
        [2, 5, 8],
        [2, 5, 8],
      ],
      (q, k, v) => multiHeadAttention(q!, k!, v!, 4),
      2 * (2 * 9 * 5 * 8),
    ],
    ["element-wise work: none", [[4]], (x) => sigmoid(x!), 0],
    [
      "what is computed once, at load: none",
      [[3, 4]],
      (x) => matMul(x!, matMul(weight(x!, 4, 9), weight(x!, 9, 2))),
      3 * 4 * 2,
    ],
  ];
  test.each(cases)("%s", (_, inputs, build, count) => {
    expect(costs(inputs, build).multiplications).toBe(count);
  });
});

describe("bytes held at once", () => {
  const FLOATS = 100;
  const bytes = 4 * FLOATS;

  test("a chain holds its input, what is read and what is written", () => {
    const chain = costs([[FLOATS]], (x) => sigmoid(sigmoid(sigmoid(x!))));
    expect(chain.activationBytes).toBe(3 * bytes);
  });

  test("a skip connection is held until it is read", () => {
    const skip = costs([[FLOATS]], (x) => {
      const held = sigmoid(x!);
      return add(sigmoid(sigmoid(sigmoid(held))), held);
    });
    expect(skip.activationBytes).toBe(4 * bytes);
  });

  test("another shape of the same values takes nothing", () => {
    const view = costs([[FLOATS]], (x) => sigmoid(reshape(x!, [10, 10])));
    expect(view.activationBytes).toBe(2 * bytes);
  });

  test("what is read under another shape is held until then", () => {
    const view = costs([[FLOATS]], (x) => {
      const first = sigmoid(x!);
      const shown = reshape(first, [10, 10]);
      return add(sigmoid(sigmoid(shown)), shown);
    });
    expect(view.activationBytes).toBe(4 * bytes);
  });
});
