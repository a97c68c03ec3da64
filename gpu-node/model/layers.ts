/**
 * @file The layers of torch.nn that the models use, each in the form that runs fastest on a CPU
 * (measured by bench/graph-forms.ts) and gives the reference's numbers.
 */
import { elementCount } from "../../shared/tensor/tensor.js";
import { shapeMismatch, showShape, type Value } from "./graph-builder.js";
import { type ConvAttributes, conv, gemmTransB } from "./ops-linear.js";
import { add, cast, mul, sigmoid, toComputeType } from "./ops-math.js";
import { batchNormalization, instanceNormalization, layerNormalization } from "./ops-norm.js";
import { reshape } from "./ops-shape.js";
import type { Weights } from "./parameters.js";

/** GroupNorm's groups everywhere in these models. */
const NORM_GROUPS = 32;

/** What a linear layer adds to its product. */
export interface LinearOptions {
  /** A parameter of its own; default true. */
  readonly bias?: boolean;
  /** [out], added to the bias; default none. */
  readonly shift?: Value;
}

/**
 * x · weightᵀ + bias over the last axis.
 *
 * @param x [..., in]
 * @param out features of the result
 * @returns [..., out]
 * @source torch.nn.Linear
 */
export function linear(w: Weights, x: Value, out: number, options: LinearOptions = {}): Value {
  const width = x.shape.at(-1)!;
  const weight = w.take("weight", [out, width]);
  const own = (options.bias ?? true) ? w.take("bias", [out]) : null;
  const bias = own && options.shift ? add(own, options.shift) : (own ?? options.shift ?? null);
  const rows = elementCount(x.shape) / width;
  return reshape(gemmTransB(reshape(x, [rows, width]), weight, bias), x.shape.with(-1, out));
}

/** Attributes of a convolution beside ONNX's. */
export interface Conv2dOptions extends ConvAttributes {
  /** Height and width of the kernel. */
  readonly kernel: number;
  readonly bias?: boolean;
}

/**
 * @param x [N, inC, H, W]
 * @param outC channels of the result
 * @returns [N, outC, H', W']
 * @source torch.nn.Conv2d
 */
export function conv2d(w: Weights, x: Value, outC: number, options: Conv2dOptions): Value {
  const { kernel, bias = true, ...attributes } = options;
  const weight = w.take("weight", [outC, x.shape[1]!, kernel, kernel]);
  return conv(x, weight, bias ? w.take("bias", [outC]) : null, attributes);
}

/** A 3x3 convolution that keeps height and width. */
export function conv3x3(w: Weights, x: Value, outC: number): Value {
  return conv2d(w, x, outC, { kernel: 3, pads: [1, 1, 1, 1] });
}

/**
 * A convolution over three neighbouring frames, in the same place of each.
 *
 * It runs as a two-dimensional one whose height is time: no transpose, and ONNX engines have far
 * better code for it than for three dimensions.
 *
 * @param x [1, inC, F, H·W]
 * @param scale factor of the result, a constant [1]; in float32 it goes into the weights
 * @returns [1, outC, F, H·W]
 * @source torch.nn.Conv3d with kernel (3, 1, 1) and padding (1, 0, 0)
 */
export function temporalConv(
  w: Weights,
  x: Value,
  outC: number,
  scale: Value | null = null,
): Value {
  const inC = x.shape[1]!;
  const weight = w.take("weight", [outC, inC, 3, 1, 1], [outC, inC, 3, 1]);
  const bias = w.take("bias", [outC]);
  const attributes = { pads: [1, 0, 1, 0] } as const;
  if (scale === null) return conv(x, weight, bias, attributes);
  // A small factor would leave halves of the weights without most of their digits.
  if (x.elementType === "float16") return mul(conv(x, weight, bias, attributes), scale);
  return conv(x, mul(weight, scale), mul(bias, scale), attributes);
}

/**
 * Each group of channels of each sample to mean 0 and variance 1, then a scale and shift a channel.
 *
 * Two passes find mean and variance, so a large mean costs no precision, as the cheaper
 * E[x²] − E[x]² would. It is computed in float32, as torch does for a tensor of halves.
 *
 * @param x [N, C, ...]
 * @returns the same shape
 * @source torch.nn.GroupNorm
 */
export function groupNorm(w: Weights, x: Value, eps: number): Value {
  const [n, channels] = x.shape;
  if (channels! % NORM_GROUPS !== 0) {
    const detail = `${showShape(x.shape)} must have a multiple of ${NORM_GROUPS} channels`;
    throw shapeMismatch("GroupNorm", [x], detail);
  }
  const g = x.graph;
  const vector = (size: number, value: number): Value =>
    g.floats([size], new Float32Array(size).fill(value), "float32");

  const grouped = reshape(cast(x, "float32"), [
    n!,
    NORM_GROUPS,
    elementCount(x.shape) / (n! * NORM_GROUPS),
  ]);
  const normal = instanceNormalization(
    grouped,
    vector(NORM_GROUPS, 1),
    vector(NORM_GROUPS, 0),
    eps,
  );

  // With mean 0 and variance 1 what is left of BatchNormalization is scale and shift in one pass.
  const statistics = { mean: vector(channels!, 0), variance: vector(channels!, 1) };
  const [scale, shift] = [w.takeWide("weight", [channels!]), w.takeWide("bias", [channels!])];
  return toComputeType(batchNormalization(reshape(normal, x.shape), scale, shift, statistics, 0));
}

/** @source torch.nn.LayerNorm over the last axis */
export function layerNorm(w: Weights, x: Value, eps: number): Value {
  const width = x.shape.at(-1)!;
  return layerNormalization(x, w.take("weight", [width]), w.take("bias", [width]), eps);
}

/** x · sigmoid(x); onnxruntime fuses the two. @source torch.nn.SiLU */
export function silu(x: Value): Value {
  return mul(x, sigmoid(x));
}
