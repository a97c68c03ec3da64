/** @file Element by element: arithmetic with broadcasting, and functions of one value. */
import type { ComputeType } from "../../shared/tensor/tensor.js";
import { shapeMismatch, showShape, type Value } from "./graph-builder.js";
import { onnxDataType } from "./graph-encoding.js";

/** @source ONNX Add-14 */
export const add = (a: Value, b: Value): Value => broadcasting("Add", a, b);
/** @source ONNX Sub-14 */
export const sub = (a: Value, b: Value): Value => broadcasting("Sub", a, b);
/** @source ONNX Mul-14 */
export const mul = (a: Value, b: Value): Value => broadcasting("Mul", a, b);

/** @source ONNX Sigmoid-13 */
export const sigmoid = (x: Value): Value => unary("Sigmoid", x);
/** @source ONNX Sin-7 */
export const sin = (x: Value): Value => unary("Sin", x);
/** @source ONNX Cos-7 */
export const cos = (x: Value): Value => unary("Cos", x);
/** x · Φ(x), by erf. @source ONNX Gelu-20, approximate "none" */
export const gelu = (x: Value): Value => unary("Gelu", x);

/**
 * The values in another type: exact where they are widened, else to the nearest.
 *
 * @source ONNX Cast-19
 */
export function cast(x: Value, elementType: ComputeType): Value {
  if (x.elementType === elementType) return x;
  return x.graph.node({
    ...{ opType: "Cast", inputs: [x], shape: x.shape, elementType },
    attributes: { to: { int: onnxDataType(elementType) } },
  });
}

/** An input, or what was computed in float32, in the type that the graph computes in. */
export function toComputeType(x: Value): Value {
  return cast(x, x.graph.variant.dtype);
}

function unary(opType: string, x: Value): Value {
  return x.graph.node({ opType, inputs: [x], shape: x.shape });
}

function broadcasting(opType: string, a: Value, b: Value): Value {
  const rank = Math.max(a.shape.length, b.shape.length);
  const shape = Array.from({ length: rank }, (_, axis) => {
    const [m, n] = [extentFromEnd(a, rank - axis), extentFromEnd(b, rank - axis)];
    if (m !== n && m !== 1 && n !== 1) {
      const detail = `${showShape(a.shape)} and ${showShape(b.shape)} do not broadcast`;
      throw shapeMismatch(opType, [a, b], detail);
    }
    return m === 1 ? n : m;
  });
  return a.graph.node({ opType, inputs: [a, b], shape });
}

/** The extent `fromEnd` axes from the end; axes that a value lacks have extent 1. */
function extentFromEnd(value: Value, fromEnd: number): number {
  return value.shape[value.shape.length - fromEnd] ?? 1;
}
