/** @file Operators that move or select values and compute nothing. */
import { elementCount } from "../../shared/tensor/tensor.js";
import { shapeMismatch, showShape, type Value } from "./graph-builder.js";

/**
 * The same values in the same order with other extents; costs nothing at run time.
 *
 * @param shape every extent given: no -1, no 0 for "copy"
 * @source ONNX Reshape-21
 */
export function reshape(x: Value, shape: readonly number[]): Value {
  if (elementCount(x.shape) !== elementCount(shape)) {
    const detail =
      `${showShape(x.shape)} has ${elementCount(x.shape)} values, ` +
      `${showShape(shape)} needs ${elementCount(shape)}`;
    throw shapeMismatch("Reshape", [x], detail);
  }
  if (sameShape(x.shape, shape)) return x;
  return x.graph.node({ opType: "Reshape", inputs: [x, x.graph.ints(shape)], shape });
}

/**
 * @param perm axis i of the result is axis perm[i] of x
 * @source ONNX Transpose-21
 */
export function transpose(x: Value, perm: readonly number[]): Value {
  const sorted = [...perm].sort((a, b) => a - b);
  if (perm.length !== x.shape.length || sorted.some((axis, i) => axis !== i)) {
    const detail = `perm ${showShape(perm)} must order the axes of ${showShape(x.shape)}`;
    throw shapeMismatch("Transpose", [x], detail);
  }
  const shape = perm.map((axis) => x.shape[axis]!);
  return x.graph.node({
    opType: "Transpose",
    inputs: [x],
    shape,
    attributes: { perm: { ints: perm } },
  });
}

/**
 * @param parts equal in every axis but `axis`
 * @source ONNX Concat-13
 */
export function concat(parts: readonly [Value, ...Value[]], axis: number): Value {
  const [first, ...rest] = parts;
  checkAxis("Concat", first, axis);
  const masked = (value: Value): number[] => value.shape.map((n, i) => (i === axis ? 0 : n));
  for (const part of rest) {
    if (!sameShape(masked(first), masked(part))) {
      const detail = `${showShape(first.shape)} and ${showShape(part.shape)} differ beside axis ${axis}`;
      throw shapeMismatch("Concat", parts, detail);
    }
  }
  const total = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
  return first.graph.node({
    opType: "Concat",
    inputs: parts,
    shape: first.shape.with(axis, total),
    attributes: { axis: { int: axis } },
  });
}

/**
 * The values start <= i < end of one axis.
 *
 * @source ONNX Slice-13
 */
export function slice(x: Value, axis: number, start: number, end: number): Value {
  checkAxis("Slice", x, axis);
  const extent = x.shape[axis]!;
  if (!(0 <= start && start < end && end <= extent)) {
    throw shapeMismatch("Slice", [x], `${start}..${end} is not inside axis ${axis} of ${extent}`);
  }
  const g = x.graph;
  return g.node({
    opType: "Slice",
    inputs: [x, g.ints([start]), g.ints([end]), g.ints([axis])],
    shape: x.shape.with(axis, end - start),
  });
}

/**
 * Nearest neighbour to a given height and width: output (i, j) is input (⌊i·h/H⌋, ⌊j·w/W⌋).
 *
 * @param x [N, C, h, w]
 * @returns [N, C, height, width]
 * @source ONNX Resize-19, mode nearest; agrees with torch's interpolate(mode="nearest")
 */
export function resizeNearest(x: Value, height: number, width: number): Value {
  const [n, c, h, w] = x.shape;
  if (x.shape.length !== 4) {
    throw shapeMismatch("Resize", [x], `needs [N, C, h, w], not ${showShape(x.shape)}`);
  }
  const g = x.graph;
  const doubled = height === 2 * h! && width === 2 * w!;
  // onnxruntime has a fast path for scales of exactly 2; other sizes are given as sizes.
  const inputs = doubled
    ? [x, null, g.floats([4], [1, 1, 2, 2], "float32")]
    : [x, null, null, g.ints([n!, c!, height, width])];
  return g.node({
    opType: "Resize",
    inputs,
    shape: [n!, c!, height, width],
    attributes: {
      mode: { string: "nearest" },
      coordinate_transformation_mode: { string: "asymmetric" },
      nearest_mode: { string: "floor" },
    },
  });
}

/** Whether two shapes have the same rank and extents. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

function checkAxis(opType: string, x: Value, axis: number): void {
  if (!Number.isInteger(axis) || axis < 0 || axis >= x.shape.length) {
    throw shapeMismatch(opType, [x], `axis ${axis} is not one of ${showShape(x.shape)}`);
  }
}
