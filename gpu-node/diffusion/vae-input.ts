/** @file A picture as the VAE's encoder wants it. */
import { assert } from "../../shared/core/assert.js";
import { lanczosResize } from "./lanczos-resize.js";
import { type RgbPicture, SIGNED_UNIT } from "./rgb-picture.js";

/**
 * Resizes (without keeping the aspect ratio, as the reference) and maps 0..255 to -1..1.
 *
 * @param width  of the clip in pixels
 * @param height of the clip in pixels
 * @returns Float32Array [3, height, width]
 * @source diffusers video_processor.py, VideoProcessor.preprocess
 */
export function vaeInput(picture: RgbPicture, width: number, height: number): Float32Array {
  const { data } = lanczosResize(picture, width, height);
  const plane = width * height;
  const out = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < plane; i++) out[channel * plane + i] = SIGNED_UNIT[data[i * 3 + channel]!]!;
  }
  return out;
}

/**
 * Noise augmentation: image + strength · noise, in place.
 *
 * @param image [3, height, width]; receives the sum
 * @param noise standard normals, as many
 * @param strength `noise_aug_strength`, at least 0
 * @source diffusers pipeline_stable_video_diffusion.py, __call__ (4. Encode input image using VAE)
 */
export function addImageNoise(image: Float32Array, noise: Float32Array, strength: number): void {
  assert(noise.length === image.length, `${image.length} values of noise, not ${noise.length}`);
  const factor = Math.fround(strength);
  for (let i = 0; i < image.length; i++) image[i]! += Math.fround(factor * noise[i]!);
}
