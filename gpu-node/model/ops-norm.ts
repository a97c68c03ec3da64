/** @file Operators that normalise. */
import type { Attributes } from "./graph.js";
import { shapeMismatch, showShape, type Value } from "./graph-builder.js";
import { sameShape } from "./ops-shape.js";

/**
 * scale · (x − mean) / √(variance + epsilon) + bias, over the last axis.
 *
 * @param x [..., C]
 * @param scale [C]
 * @param bias [C]
 * @source ONNX LayerNormalization-17 with axis = -1
 */
export function layerNormalization(x: Value, scale: Value, bias: Value, epsilon: number): Value {
  checkVectors("LayerNormalization", x, [scale, bias], x.shape.at(-1) ?? 0);
  return normalised("LayerNormalization", [x, scale, bias], {
    axis: { int: -1 },
    epsilon: { float: epsilon },
  });
}

/**
 * Each channel of each sample to mean 0 and variance 1, then scale and bias. The mean is taken
 * first and the variance around it, so a large mean costs no precision.
 *
 * @param x [N, C, ...]
 * @param scale [C]
 * @param bias [C]
 * @source ONNX InstanceNormalization-6
 */
export function instanceNormalization(x: Value, scale: Value, bias: Value, epsilon: number): Value {
  if (x.shape.length < 3) {
    throw shapeMismatch(
      "InstanceNormalization",
      [x],
      `needs [N, C, ...], not ${showShape(x.shape)}`,
    );
  }
  checkVectors("InstanceNormalization", x, [scale, bias], x.shape[1]!);
  return normalised("InstanceNormalization", [x, scale, bias], { epsilon: { float: epsilon } });
}

/**
 * scale · (x − mean) / √(variance + epsilon) + bias for each channel, with given statistics.
 *
 * @param x [N, C, ...]
 * @param scale [C]; bias, mean, variance likewise
 * @source ONNX BatchNormalization-15 with training_mode = 0
 */
export function batchNormalization(
  x: Value,
  scale: Value,
  bias: Value,
  statistics: { readonly mean: Value; readonly variance: Value },
  epsilon: number,
): Value {
  const { mean, variance } = statistics;
  checkVectors("BatchNormalization", x, [scale, bias, mean, variance], x.shape[1] ?? 0);
  return normalised("BatchNormalization", [x, scale, bias, mean, variance], {
    epsilon: { float: epsilon },
  });
}

/** exp(x) over its sum along the last axis. @source ONNX Softmax-13 with axis = -1 */
export function softmax(x: Value): Value {
  return normalised("Softmax", [x], { axis: { int: -1 } });
}

function normalised(
  opType: string,
  inputs: readonly [Value, ...Value[]],
  attributes: Attributes,
): Value {
  const [x] = inputs;
  return x.graph.node({ opType, inputs, shape: x.shape, attributes });
}

function checkVectors(opType: string, x: Value, vectors: readonly Value[], size: number): void {
  for (const vector of vectors) {
    if (sameShape(vector.shape, [size])) continue;
    const detail = `${showShape(x.shape)} needs vectors of ${size} values, not ${showShape(vector.shape)}`;
    throw shapeMismatch(opType, [x, ...vectors], detail);
  }
}
