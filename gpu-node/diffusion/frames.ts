/** @file Latents into the decoder, and the decoder's output into pictures. */
import { assert } from "../../shared/core/assert.js";

/**
 * Undoes the scaling of the latent space before decoding: multiplies by 1 / scalingFactor, rounded
 * to float32 first, which is not always the quotient.
 *
 * @param latents [F, 4, h, w] in any layout
 * @param scalingFactor `scaling_factor` of the VAE's config
 * @source diffusers pipeline_stable_video_diffusion.py, decode_latents
 */
export function unscaleLatents(latents: Float32Array, scalingFactor: number): Float32Array {
  const factor = Math.fround(1 / scalingFactor);
  return latents.map((value) => factor * value);
}

export interface FrameSize {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
}

/**
 * Decoder output to pictures: x / 2 + 0.5, held within 0..1, channels last.
 *
 * @param decoded [F, 3, H, W], about -1..1
 * @returns [F, H, W, 3] in 0..1
 * @source diffusers image_processor.py, denormalize and pt_to_numpy
 */
export function framesFromDecoder(decoded: Float32Array, size: FrameSize): Float32Array {
  const plane = size.height * size.width;
  assert(decoded.length === size.frames * 3 * plane, `frames of ${plane} pixels in 3 channels`);
  const pictures = new Float32Array(decoded.length);
  for (let frame = 0; frame < size.frames; frame++) {
    const red = frame * 3 * plane;
    const green = red + plane;
    const blue = green + plane;
    for (let i = 0, to = red; i < plane; i++, to += 3) {
      pictures[to] = brightness(decoded[red + i]!);
      pictures[to + 1] = brightness(decoded[green + i]!);
      pictures[to + 2] = brightness(decoded[blue + i]!);
    }
  }
  return pictures;
}

/** NaN stays NaN. */
function brightness(value: number): number {
  const held = value * 0.5 + 0.5;
  if (held > 1) return 1;
  return Math.max(held, 0);
}

/** A double of this size has no bits for fractions: what is added to it is rounded half to even. */
const ROUNDING = 1.5 * 2 ** 52;

/**
 * Pictures to bytes: the float32 product with 255, rounded half to even as numpy rounds.
 *
 * @param pictures values in 0..1, any layout
 * @returns as many values in 0..255
 * @source diffusers image_processor.py, numpy_to_pil
 */
export function framesToBytes(pictures: Float32Array): Uint8Array {
  const bytes = new Uint8Array(pictures.length);
  for (let i = 0; i < pictures.length; i++) {
    bytes[i] = Math.fround(pictures[i]! * 255) + ROUNDING - ROUNDING;
  }
  return bytes;
}
