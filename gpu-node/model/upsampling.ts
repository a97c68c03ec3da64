/**
 * @file Twice the height and width.
 *
 * @source diffusers models/upsampling.py
 */
import type { Value } from "./graph-builder.js";
import { conv3x3 } from "./layers.js";
import { conv } from "./ops-linear.js";
import { add } from "./ops-math.js";
import { concat, reshape, resizeNearest, slice } from "./ops-shape.js";
import type { Weights } from "./parameters.js";

/**
 * Nearest neighbour, then a 3x3 convolution.
 *
 * @param x [N, C, h, w]
 * @param size height and width of the result; twice those of x unless the skip it will meet is odd
 * @returns [N, C, size.height, size.width]
 * @source Upsample2D.forward with use_conv = true
 */
export function upsample2d(
  w: Weights,
  x: Value,
  size: { readonly height: number; readonly width: number },
): Value {
  const [, channels, height, width] = x.shape;
  const isDouble = size.height === 2 * height! && size.width === 2 * width!;
  if (!isDouble || x.graph.variant.upsampling === "resize") {
    return conv3x3(w.at("conv"), resizeNearest(x, size.height, size.width), channels!);
  }
  const kernel = w.at("conv").take("weight", [channels!, channels!, 3, 3]);
  return doubleAndConvolve(x, kernel, w.at("conv").take("bias", [channels!]));
}

/**
 * The same without the doubled picture: of the nine values under the kernel, those that are copies
 * of one small value share one multiplication, so each of the four values that a small one becomes
 * needs a 2x2 kernel. That is 4/9 of the work; the kernels are added up once, at load.
 *
 * @param x [N, C, h, w]
 * @param kernel [C, C, 3, 3]
 * @returns [N, C, 2h, 2w]
 */
export function doubleAndConvolve(x: Value, kernel: Value, bias: Value): Value {
  const [n, channels, height, width] = x.shape;
  const phase = (row: Phase, column: Phase): Value => {
    const small = foldCopies(foldCopies(kernel, 2, row), 3, column); // [C, C, 2, 2]
    const pads = [1 - row, 1 - column, row, column] as const;
    return reshape(conv(x, small, bias, { pads }), [n!, channels!, height!, 1, width!, 1]);
  };
  const evenRows = concat([phase(0, 0), phase(0, 1)], 5); // [N, C, h, 1, w, 2]
  const oddRows = concat([phase(1, 0), phase(1, 1)], 5);
  return reshape(concat([evenRows, oddRows], 3), [n!, channels!, 2 * height!, 2 * width!]);
}

/** Which of the two copies of a value: 0 sees a copy after it, 1 one before it. */
type Phase = 0 | 1;

/**
 * Three taps as two along one axis. Around copy 0 of value i lie i−1, i, i; around copy 1 i, i, i+1.
 *
 * @returns 2 values along `axis` in place of 3
 */
function foldCopies(kernel: Value, axis: number, phase: Phase): Value {
  const tap = (i: number): Value => slice(kernel, axis, i, i + 1);
  return phase === 0
    ? concat([tap(0), add(tap(1), tap(2))], axis)
    : concat([add(tap(0), tap(1)), tap(2)], axis);
}
