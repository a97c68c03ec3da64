/** @file A clip's float32 frames and latents as a safetensors file, written piece by piece. */
import {
  encodeSafetensorsHeader,
  toSafetensorsTensor,
} from "../../../shared/tensor/safetensors.js";
import type { Tensor } from "../../../shared/tensor/tensor.js";

/**
 * The file: "frames" float32 [frames, height, width, 3] in 0..1 and "latents" float32
 * [frames, C, h, w], as diffusers' np and latent outputs.
 *
 * @param framesShape [frames, height, width, 3]
 * @param framesBytes the frames' little-endian bytes, cut anywhere
 */
export async function* clipSafetensors(
  framesShape: readonly number[],
  framesBytes: AsyncIterable<Uint8Array>,
  latents: Tensor,
): AsyncIterable<Uint8Array> {
  const stored = toSafetensorsTensor(latents);
  const { header, entries } = encodeSafetensorsHeader([
    ["frames", { dtype: "F32", shape: framesShape }],
    ["latents", stored],
  ]);
  yield header;
  for (const { name } of entries) {
    if (name === "frames") yield* framesBytes;
    else yield stored.bytes;
  }
}
