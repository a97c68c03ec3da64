/** @file Operators that do most of the work: convolutions, matrix products, attention. */
import { elementCount } from "../../shared/tensor/tensor.js";
import { shapeMismatch, showShape, type Value } from "./graph-builder.js";
import { sameShape } from "./ops-shape.js";

/** Attributes of Conv, by their ONNX names; what is left out is ONNX's default. */
export interface ConvAttributes {
  readonly strides?: readonly [number, number];
  /** Zeros added before and after: [top, left, bottom, right]. */
  readonly pads?: readonly [number, number, number, number];
}

/**
 * A two-dimensional convolution; the kernel's size is that of the weight.
 *
 * @param x [N, inC, H, W]
 * @param weight [outC, inC, kH, kW]
 * @param bias [outC], or null
 * @returns [N, outC, ⌊(H + pads − kH) / stride⌋ + 1, likewise W]
 * @source ONNX Conv-11
 */
export function conv(
  x: Value,
  weight: Value,
  bias: Value | null,
  attributes: ConvAttributes = {},
): Value {
  const inputs = bias === null ? [x, weight] : [x, weight, bias];
  const [n, inC, height, width] = x.shape;
  const [outC, weightC, kernelH, kernelW] = weight.shape;
  if (x.shape.length !== 4 || weight.shape.length !== 4) {
    const detail = `needs [N, C, H, W] and [O, C, kH, kW], not ${showShape(x.shape)} and ${showShape(weight.shape)}`;
    throw shapeMismatch("Conv", inputs, detail);
  }
  if (inC !== weightC) {
    const detail = `input channels ${inC} must match weight channels ${weightC}`;
    throw shapeMismatch("Conv", inputs, detail);
  }
  if (bias !== null && !sameShape(bias.shape, [outC!])) {
    const detail = `bias ${showShape(bias.shape)} must have one value for each of ${outC} channels`;
    throw shapeMismatch("Conv", inputs, detail);
  }
  const [strideH, strideW] = attributes.strides ?? [1, 1];
  const [top, left, bottom, right] = attributes.pads ?? [0, 0, 0, 0];
  const outH = Math.floor((height! + top + bottom - kernelH!) / strideH) + 1;
  const outW = Math.floor((width! + left + right - kernelW!) / strideW) + 1;
  if (outH < 1 || outW < 1) {
    const detail = `kernel ${kernelH}x${kernelW} does not fit into ${height}x${width} with pads ${showShape([top, left, bottom, right])}`;
    throw shapeMismatch("Conv", inputs, detail);
  }
  return x.graph.node({
    opType: "Conv",
    inputs,
    shape: [n!, outC!, outH, outW],
    multiplications: n! * outC! * outH * outW * inC! * kernelH! * kernelW!,
    attributes: {
      kernel_shape: { ints: [kernelH!, kernelW!] },
      strides: { ints: [strideH, strideW] },
      pads: { ints: [top, left, bottom, right] },
    },
  });
}

/**
 * x · weightᵀ + bias: the right side as PyTorch stores it, so no transposed copy is made at load.
 *
 * @param x [rows, in]
 * @param weight [out, in]
 * @param bias [out], or null
 * @returns [rows, out]
 * @source ONNX Gemm-13 with transB = 1
 */
export function gemmTransB(x: Value, weight: Value, bias: Value | null): Value {
  const inputs = bias === null ? [x, weight] : [x, weight, bias];
  const [rows, inX] = x.shape;
  const [out, inW] = weight.shape;
  if (x.shape.length !== 2 || weight.shape.length !== 2 || inX !== inW) {
    const detail = `input ${showShape(x.shape)} must be [rows, ${inW}] for weight ${showShape(weight.shape)}`;
    throw shapeMismatch("Gemm", inputs, detail);
  }
  if (bias !== null && !sameShape(bias.shape, [out!])) {
    throw shapeMismatch("Gemm", inputs, `bias ${showShape(bias.shape)} must be [${out}]`);
  }
  const shape = [rows!, out!];
  return x.graph.node({
    ...{ opType: "Gemm", inputs, shape, attributes: { transB: { int: 1 } } },
    multiplications: rows! * out! * inX!,
  });
}

/**
 * Matrix products over equal leading axes.
 *
 * @param a [..., m, k]
 * @param b [..., k, n]
 * @returns [..., m, n]
 * @source ONNX MatMul-13
 */
export function matMul(a: Value, b: Value): Value {
  const [m, n] = [a.shape.at(-2), b.shape.at(-1)];
  checkProduct("MatMul", a, b, a.shape, b.shape);
  const shape = [...a.shape.slice(0, -2), m!, n!];
  const multiplications = elementCount(shape) * a.shape.at(-1)!;
  return a.graph.node({ opType: "MatMul", inputs: [a, b], shape, multiplications });
}

/** Attributes of FusedMatMul, by onnxruntime's names. */
export interface FusedMatMulAttributes {
  /** Factor of the product. */
  readonly alpha?: number;
  readonly transB?: boolean;
  /** Whether the axis of rows comes first: a is [m, ..., k] and read as [..., m, k]. */
  readonly transBatchA?: boolean;
  /** The same for b: [k, ..., n] (or [n, ..., k] with transB). */
  readonly transBatchB?: boolean;
}

/**
 * alpha · a · b over equal leading axes, either side read with its axes in another order: strides
 * instead of copies.
 *
 * @source onnxruntime com.microsoft.FusedMatMul
 */
export function fusedMatMul(a: Value, b: Value, attributes: FusedMatMulAttributes): Value {
  const { alpha = 1, transB = false, transBatchA = false, transBatchB = false } = attributes;
  const shapeA = transBatchA ? rowsBeforeLast(a.shape) : a.shape;
  const batchedB = transBatchB ? rowsBeforeLast(b.shape) : b.shape;
  const shapeB = transB ? swapLastTwo(batchedB) : batchedB;
  checkProduct("FusedMatMul", a, b, shapeA, shapeB);
  const shape = [...shapeA.slice(0, -1), shapeB.at(-1)!];
  return a.graph.node({
    opType: "FusedMatMul",
    domain: "com.microsoft",
    inputs: [a, b],
    shape,
    multiplications: elementCount(shape) * shapeA.at(-1)!,
    attributes: {
      alpha: { float: alpha },
      transB: { int: transB ? 1 : 0 },
      transBatchA: { int: transBatchA ? 1 : 0 },
      transBatchB: { int: transBatchB ? 1 : 0 },
    },
  });
}

/**
 * softmax(q · kᵀ / √d) · v for every head, without ever holding the scores of a whole sequence.
 *
 * @param q [batch, queries, heads·d]
 * @param k [batch, keys, heads·d]
 * @param v [batch, keys, heads·d]
 * @returns [batch, queries, heads·d]
 * @source onnxruntime com.microsoft.MultiHeadAttention, scale 1/√d
 */
export function multiHeadAttention(q: Value, k: Value, v: Value, numHeads: number): Value {
  const [batch, , width] = q.shape;
  const fits =
    [q, k, v].every((x) => x.shape.length === 3 && x.shape[0] === batch && x.shape[2] === width) &&
    k.shape[1] === v.shape[1];
  if (!fits) {
    const shapes = [q, k, v].map((x) => showShape(x.shape)).join(", ");
    throw shapeMismatch("MultiHeadAttention", [q, k, v], `q, k, v must fit each other: ${shapes}`);
  }
  if (width! % numHeads !== 0) {
    const detail = `width ${width} must be a multiple of ${numHeads} heads`;
    throw shapeMismatch("MultiHeadAttention", [q, k, v], detail);
  }
  return q.graph.node({
    opType: "MultiHeadAttention",
    domain: "com.microsoft",
    inputs: [q, k, v],
    shape: q.shape,
    multiplications: 2 * elementCount(q.shape) * k.shape[1]!,
    attributes: { num_heads: { int: numHeads } },
  });
}

/** [m, ..., k] -> [..., m, k] */
function rowsBeforeLast(shape: readonly number[]): number[] {
  return [...shape.slice(1, -1), shape[0]!, shape.at(-1)!];
}

function swapLastTwo(shape: readonly number[]): number[] {
  return [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!];
}

function checkProduct(
  opType: string,
  a: Value,
  b: Value,
  shapeA: readonly number[],
  shapeB: readonly number[],
): void {
  const fits =
    shapeA.length >= 2 &&
    shapeA.at(-1) === shapeB.at(-2) &&
    sameShape(shapeA.slice(0, -2), shapeB.slice(0, -2));
  if (!fits) {
    const detail = `${showShape(shapeA)} and ${showShape(shapeB)} must be [..., m, k] and [..., k, n]`;
    throw shapeMismatch(opType, [a, b], detail);
  }
}
