/**
 * @file The feed-forward network of the transformer blocks.
 *
 * @source diffusers models/attention.py, models/activations.py
 */
import type { GraphVariant } from "./graph.js";
import type { Value } from "./graph-builder.js";
import { gemmTransB } from "./ops-linear.js";
import { add, gelu, mul } from "./ops-math.js";
import { layerNormalization } from "./ops-norm.js";
import { concat, slice } from "./ops-shape.js";
import type { Weights } from "./parameters.js";

/** LayerNorm's eps in the transformer blocks: PyTorch's default. */
export const LAYER_NORM_EPS = 1e-5;

const BYTES_PER_VALUE = 4;

/** Parts that are small enough for a cache, at the most: each one is eight nodes more. */
const PARTS_MAX = 16;

/** Parts where no cache is large enough: then they save memory only, and these few save most of it. */
const PARTS_FOR_MEMORY = 4;

/** A part has a multiple of so many rows: those that one kernel call of the engine computes. */
const ROWS_OF_KERNEL = 12;

/**
 * h plus the network of h's norm: (x·A) · gelu(x·B), then back to the width of x; A and B are the
 * halves of one parameter.
 *
 * What lies between is four times as wide as x. Rows do not depend on each other, so where the
 * graph's variant asks for it they are computed in parts: the same bytes and less memory, and where
 * the inner values of a part stay in a core's cache up to a quarter faster.
 *
 * @param norm of the LayerNorm before it
 * @param h [rows, C], as many rows of each frame
 * @returns [rows, C]
 * @source FeedForward with GEGLU, mult = 4; _chunked_feed_forward
 */
export function addFeedForward(norm: Weights, w: Weights, h: Value, frames: number): Value {
  const [rows, width] = h.shape as [number, number];
  const inner = 4 * width;
  const [proj, out] = [w.at("net", 0, "proj"), w.at("net", 2)];
  const [weightA, weightB] = proj.takeParts("weight", [2 * inner, width], 2);
  const [biasA, biasB] = proj.takeParts("bias", [2 * inner], 2);
  const [weightOut, biasOut] = [out.take("weight", [width, inner]), out.take("bias", [width])];
  const [scale, shift] = [norm.take("weight", [width]), norm.take("bias", [width])];

  const { variant } = h.graph;
  const partRows = Math.min(
    rowsInCache(rows, BYTES_PER_VALUE * inner, variant),
    rowsAsked(rows, frames, variant),
  );
  return inParts(h, partRows, (part) => {
    const x = layerNormalization(part, scale, shift, LAYER_NORM_EPS);
    const value = gemmTransB(x, weightA!, biasA!);
    const gate = gelu(gemmTransB(x, weightB!, biasB!));
    return add(part, gemmTransB(mul(value, gate), weightOut, biasOut));
  });
}

/** @param rowBytes of what lies between */
function rowsInCache(rows: number, rowBytes: number, { feedForwardBytes }: GraphVariant): number {
  if (feedForwardBytes === undefined) return rows;
  const wanted = Math.ceil((rows * rowBytes) / feedForwardBytes);
  const parts = wanted > PARTS_MAX ? PARTS_FOR_MEMORY : wanted;
  return wholeKernels(rows / parts);
}

function rowsAsked(rows: number, frames: number, { forwardChunkSize }: GraphVariant): number {
  return forwardChunkSize === undefined ? rows : wholeKernels((rows / frames) * forwardChunkSize);
}

function wholeKernels(rows: number): number {
  return Math.ceil(rows / ROWS_OF_KERNEL) * ROWS_OF_KERNEL;
}

/** `compute` of so many rows at a time, one part after the other. */
function inParts(x: Value, partRows: number, compute: (part: Value) => Value): Value {
  const [rows] = x.shape as [number];
  if (partRows >= rows) return compute(x);
  const starts = Array.from({ length: Math.ceil(rows / partRows) }, (_, i) => i * partRows);
  const part = (start: number): Value => slice(x, 0, start, Math.min(rows, start + partRows));
  const [first, ...others] = starts.map((start) => compute(part(start)));
  return concat([first!, ...others], 0);
}
