/**
 * @file Latents to colours without the VAE: the linear map that comes closest to its decoder.
 *
 * A cell's latents say little but its colour. A chart of many colours, encoded and decoded again once,
 * gives the thousand pairs of both that the map is fitted to; after that no preview runs the VAE.
 */
import { assert } from "../../shared/core/assert.js";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";

/** Latent cells across the chart, and across one of its patches. */
export const CHART_CELLS = 32;
const PATCH_CELLS = 4;
/** Levels of each colour channel: 4 x 4 x 4 colours, one a patch. */
const LEVELS = 4;
/** Coprime to the number of patches, so that every colour comes once and neighbours are unlike. */
const SHUFFLE = 37;

/** Holds the map of a picture of few colours down, as a share of the latents' mean square. */
const RIDGE = 1e-3;

/**
 * A picture whose patches are the colours of an even grid, from black to white.
 *
 * @param factor pixels per latent cell
 * @returns [3, side, side] in -1..1; side is CHART_CELLS · factor
 */
export function colourChart(factor: number): Tensor {
  const side = CHART_CELLS * factor;
  const patches = CHART_CELLS / PATCH_CELLS;
  const patchSide = PATCH_CELLS * factor;
  const data = new Float32Array(3 * side * side);
  for (let i = 0; i < data.length; i++) {
    const channel = Math.floor(i / (side * side));
    const row = Math.floor(Math.floor((i % (side * side)) / side) / patchSide);
    const patch = row * patches + Math.floor((i % side) / patchSide);
    const colour = (patch * SHUFFLE) % (patches * patches);
    const level = Math.floor(colour / LEVELS ** channel) % LEVELS;
    data[i] = (2 * level) / (LEVELS - 1) - 1;
  }
  return tensor([3, side, side], data);
}

/**
 * The least-squares map of a picture.
 *
 * @param latents [C, h, w] of the picture, not scaled
 * @param image   [3, H, W], about -1..1; H and W are multiples of h and w
 * @param scalingFactor `scaling_factor` of the VAE's config: the map is for scaled latents
 * @returns [C + 1, 3]: weights of the channels, then the colour of zero; colours in -1..1
 */
export function fitColourMap(latents: Tensor, image: Tensor, scalingFactor: number): Tensor {
  const [channels, h, w] = latents.shape as [number, number, number];
  const cells = h * w;
  const colours = cellColours(image, h, w);
  const size = channels + 1;
  const normal = new Float64Array(size * size);
  const right = new Float64Array(size * 3);
  const z = new Float64Array(size);
  z[channels] = 1;
  for (let cell = 0; cell < cells; cell++) {
    for (let c = 0; c < channels; c++) z[c] = latents.data[c * cells + cell]! * scalingFactor;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) normal[i * size + j]! += (z[i]! * z[j]!) / cells;
      for (let k = 0; k < 3; k++) right[i * 3 + k]! += (z[i]! * colours[k * cells + cell]!) / cells;
    }
  }
  let square = 0;
  for (let c = 0; c < channels; c++) square += normal[c * size + c]! / channels;
  for (let c = 0; c < channels; c++) normal[c * size + c]! += RIDGE * square + Number.EPSILON;
  return tensor([size, 3], solve(normal, right, size));
}

/** The mean colour of the pixels of each cell [3, h, w]. */
function cellColours({ shape, data }: Tensor, h: number, w: number): Float64Array {
  const [, height, width] = shape as [number, number, number];
  const [rows, columns] = [height / h, width / w];
  assert(Number.isInteger(rows) && Number.isInteger(columns), `${h}x${w} cells of the picture`);
  const colours = new Float64Array(3 * h * w);
  for (let i = 0; i < data.length; i++) {
    const plane = Math.floor(i / (height * width));
    const y = Math.floor((i % (height * width)) / width);
    const cell = Math.floor(y / rows) * w + Math.floor((i % width) / columns);
    colours[plane * h * w + cell]! += data[i]! / (rows * columns);
  }
  return colours;
}

/** Solves `a` x = `b` for three columns of `b`, by elimination; `a` is positive definite. */
function solve(a: Float64Array, b: Float64Array, size: number): Float32Array {
  for (let pivot = 0; pivot < size; pivot++) {
    const scale = a[pivot * size + pivot]!;
    for (let row = pivot + 1; row < size; row++) {
      const factor = a[row * size + pivot]! / scale;
      for (let j = pivot; j < size; j++) a[row * size + j]! -= factor * a[pivot * size + j]!;
      for (let k = 0; k < 3; k++) b[row * 3 + k]! -= factor * b[pivot * 3 + k]!;
    }
  }
  const x = new Float32Array(size * 3);
  for (let row = size - 1; row >= 0; row--) {
    for (let k = 0; k < 3; k++) {
      let sum = b[row * 3 + k]!;
      for (let j = row + 1; j < size; j++) sum -= a[row * size + j]! * x[j * 3 + k]!;
      x[row * 3 + k] = sum / a[row * size + row]!;
    }
  }
  return x;
}
