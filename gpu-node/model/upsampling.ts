/**
 * @file Twice the height and width.
 *
 * @source diffusers models/upsampling.py
 */
import type { Value } from "./graph-builder.js";
import { conv3x3 } from "./layers.js";
import { resizeNearest } from "./ops-shape.js";
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
  return conv3x3(w.at("conv"), resizeNearest(x, size.height, size.width), x.shape[1]!);
}
