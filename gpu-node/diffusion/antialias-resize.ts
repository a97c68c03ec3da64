/**
 * @file The reference's antialiased resize: a gaussian blur, then bicubic interpolation.
 *
 * Both are linear and separable, so along each axis together they are one weighted sum a result
 * pixel. Blurred values that interpolation never reads are never made: a 4K picture takes a fraction
 * of a second.
 *
 * @source diffusers pipeline_stable_video_diffusion.py, _resize_with_antialiasing and
 *   _gaussian_blur2d; pytorch aten/src/ATen/native/UpSample.h, get_cubic_upsample_coefficients
 */
import { assert } from "../../shared/core/assert.js";
import { type RgbPicture, SIGNED_UNIT } from "./rgb-picture.js";

/** The weighted sums of one axis: result i is Σ_k weights[i, k] · input[first[i] + k]. */
interface AxisWeights {
  readonly first: Int32Array;
  /** [results, taps] */
  readonly weights: Float64Array;
  readonly taps: number;
}

/** The shortest side that the blur can take: it mirrors the picture at its edge by a pixel or more. */
export const ANTIALIAS_SIDE_MIN = 2;

/**
 * Resizes a picture whose bytes are first mapped to -1..1.
 *
 * @param picture both sides at least ANTIALIAS_SIDE_MIN pixels
 * @param width  of the result in pixels
 * @param height of the result in pixels
 * @returns Float32Array [3, height, width]; bicubic may overshoot -1..1
 */
export function antialiasResize(picture: RgbPicture, width: number, height: number): Float32Array {
  const wide = resizeAcross(picture, axisWeights(picture.width, width), width);
  return resizeDown(wide, axisWeights(picture.height, height), width, height);
}

/** @returns [picture.height, width, 3] */
function resizeAcross(picture: RgbPicture, axis: AxisWeights, width: number): Float32Array {
  const { data, height } = picture;
  const { first, weights, taps } = axis;
  const out = new Float32Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    const row = y * picture.width * 3;
    for (let x = 0; x < width; x++) {
      let [red, green, blue] = [0, 0, 0];
      let from = row + first[x]! * 3;
      for (let k = x * taps; k < (x + 1) * taps; k++, from += 3) {
        const weight = weights[k]!;
        red += SIGNED_UNIT[data[from]!]! * weight;
        green += SIGNED_UNIT[data[from + 1]!]! * weight;
        blue += SIGNED_UNIT[data[from + 2]!]! * weight;
      }
      const to = (y * width + x) * 3;
      out[to] = red;
      out[to + 1] = green;
      out[to + 2] = blue;
    }
  }
  return out;
}

/** [H, width, 3] to planes [3, height, width] */
function resizeDown(
  rows: Float32Array,
  axis: AxisWeights,
  width: number,
  height: number,
): Float32Array {
  const { first, weights, taps } = axis;
  const rowLength = width * 3;
  const out = new Float32Array(height * rowLength);
  const sums = new Float64Array(rowLength);
  for (let y = 0; y < height; y++) {
    sums.fill(0);
    for (let k = 0; k < taps; k++) {
      const weight = weights[y * taps + k]!;
      const from = (first[y]! + k) * rowLength;
      for (let i = 0; i < rowLength; i++) sums[i]! += rows[from + i]! * weight;
    }
    for (let channel = 0; channel < 3; channel++) {
      const to = (channel * height + y) * width;
      for (let x = 0; x < width; x++) out[to + x] = sums[x * 3 + channel]!;
    }
  }
  return out;
}

/** Blur and interpolation of one axis, as one sum. */
function axisWeights(inSize: number, outSize: number): AxisWeights {
  assert(inSize >= ANTIALIAS_SIDE_MIN, `a side of at least 2 pixels, not ${inSize}`);
  const kernel = blurKernel(inSize / outSize);
  const pad = (kernel.length - 1) / 2;
  const taps = Math.min(inSize, kernel.length + 3);
  const first = new Int32Array(outSize);
  const weights = new Float64Array(outSize * taps);

  // align_corners: the first and last pixels of input and result coincide. In float32, as torch.
  const scale = outSize > 1 ? Math.fround((inSize - 1) / (outSize - 1)) : 0;
  for (let out = 0; out < outSize; out++) {
    const position = Math.fround(scale * out);
    const base = Math.min(Math.floor(position), inSize - 1);
    first[out] = Math.max(Math.min(base - 1 - pad, inSize - taps), 0);
    for (const [i, share] of cubicShares(Math.fround(position - base)).entries()) {
      const blurred = Math.min(Math.max(base - 1 + i, 0), inSize - 1);
      for (const [k, weight] of kernel.entries()) {
        const input = mirrored(blurred + k - pad, inSize);
        weights[out * taps + input - first[out]!]! += share * weight;
      }
    }
  }
  return { first, weights, taps };
}

/**
 * The gaussian for one axis, its sum 1, its length odd. Its width grows with the shrinking factor;
 * an axis that grows is not blurred (sigma 0.001).
 *
 * @param factor input pixels for one result pixel
 */
function blurKernel(factor: number): Float64Array {
  const sigma = Math.max((factor - 1) / 2, 0.001);
  const length = Math.trunc(Math.max(4 * sigma, 3));
  const odd = length % 2 === 0 ? length + 1 : length;
  const kernel = Float64Array.from({ length: odd }, (_, i) =>
    Math.exp(-((i - (odd - 1) / 2) ** 2) / (2 * sigma ** 2)),
  );
  const sum = kernel.reduce((a, b) => a + b);
  return kernel.map((value) => value / sum);
}

/** Shares of the four pixels around a point, `t` of a pixel after the second (Keys, A = -0.75). */
function cubicShares(t: number): number[] {
  const a = -0.75;
  const near = (x: number) => ((a + 2) * x - (a + 3)) * x * x + 1;
  const far = (x: number) => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

/** An index beyond an edge, reflected there without repeating the edge pixel. */
function mirrored(index: number, size: number): number {
  if (index < 0) return -index;
  return index < size ? index : 2 * (size - 1) - index;
}
