/**
 * @file Half the height and width.
 *
 * @source diffusers models/downsampling.py
 */
import type { Value } from "./graph-builder.js";
import { conv2d } from "./layers.js";
import type { Weights } from "./parameters.js";

/**
 * A 3x3 convolution of stride 2.
 *
 * @param x [N, C, H, W]
 * @param padding "both": one zero on every side, [N, C, ⌈H/2⌉, ⌈W/2⌉] results; "end": one zero below
 *   and to the right only, as the VAE's encoder has it, [N, C, ⌊H/2⌋, ⌊W/2⌋] results
 * @source Downsample2D.forward with use_conv = true, padding 1 ("both") or 0 ("end")
 */
export function downsample2d(w: Weights, x: Value, padding: "both" | "end"): Value {
  const pads = padding === "both" ? ([1, 1, 1, 1] as const) : ([0, 0, 1, 1] as const);
  return conv2d(w.at("conv"), x, x.shape[1]!, { kernel: 3, strides: [2, 2], pads });
}
