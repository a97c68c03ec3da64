/** @file A dense float32 tensor in row-major order, the one form in which tensors travel in memory. */
import { assert } from "../core/assert.js";

export interface Tensor {
  /** Extent of each axis, outermost first; [] for a scalar. */
  readonly shape: readonly number[];
  /** Row-major values; its length is the product of `shape`. */
  readonly data: Float32Array;
}

/** What models compute in. A tensor of either holds its values as float32 here. */
export const COMPUTE_TYPES = ["float32", "float16"] as const;
export type ComputeType = (typeof COMPUTE_TYPES)[number];

/** The number of values in a tensor of this shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Joins shape and values; a mismatch is a bug of the caller. */
export function tensor(shape: readonly number[], data: Float32Array): Tensor {
  assert(
    data.length === elementCount(shape),
    `${elementCount(shape)} values for shape [${shape.join(", ")}], not ${data.length}`,
  );
  return { shape, data };
}

/** The bytes as float32 values; copied only where they do not lie on a multiple of four. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}
