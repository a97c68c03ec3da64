/** @file Stage: finished latents of one chunk -> its frames. */

import { FarmError } from "../../shared/core/errors.js";
import type { DecodeWork } from "../../shared/farm/work.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { framesFromDecoder, framesToBytes, unscaleLatents } from "../diffusion/frames.js";
import { type ClipPlace, chunkKey } from "./keys.js";
import { type Made, refuseAborted, type StageContext } from "./stage-context.js";
import { decodeLatents, encodeFrames } from "./tensor-blobs.js";

/**
 * Decodes frames [firstFrame, firstFrame + frameCount). The temporal layers see only these.
 *
 * @returns the chunk, as `decodeFrames` reads it
 * @throws FarmError as the ports do, and "invalid-argument" for frames that the clip does not have
 */
export async function runDecode(
  work: DecodeWork,
  place: ClipPlace,
  context: StageContext,
): Promise<Made> {
  const latents = chunkLatents(decodeLatents(await context.blobs.get(work.latents)), work);
  refuseAborted(context.signal);

  const { shape, data } = await decodeChunk(latents, context);
  const { buffer, byteOffset, byteLength } = data;
  const chunk = work.keepFloat
    ? { dtype: "F32" as const, shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) }
    : { dtype: "U8" as const, shape, bytes: framesToBytes(data) };
  return { key: chunkKey(place, work.firstFrame), bytes: encodeFrames(chunk) };
}

/**
 * Finished latents of one chunk to pictures, without a store.
 *
 * @param latents [n, C, h, w], as the denoising left them
 * @returns [n, height, width, 3] in 0..1
 * @throws FarmError "cancelled" after an abort, and what the runtime throws
 */
export async function decodeChunk(
  latents: Tensor,
  { runtime, configs, signal, onComputed }: Omit<StageContext, "blobs">,
): Promise<Tensor> {
  const [frames, , h, w] = latents.shape as [number, number, number, number];
  const { sample } = await runtime.run(
    { module: "vae_decoder", frames, height: h, width: w },
    { z: tensor(latents.shape, unscaleLatents(latents.data, configs.vae.scaling_factor)) },
  );
  refuseAborted(signal);
  await onComputed?.();
  const [height, width] = sample!.shape.slice(-2) as [number, number];
  const pictures = framesFromDecoder(sample!.data, { frames, height, width });
  return tensor([frames, height, width, 3], pictures);
}

/**
 * Frames [firstFrame, firstFrame + frameCount) of a clip's latents: a view.
 *
 * @throws FarmError "invalid-argument" for frames that the clip does not have
 */
export function chunkLatents(
  { shape, data }: Tensor,
  { firstFrame, frameCount }: Pick<DecodeWork, "firstFrame" | "frameCount">,
): Tensor {
  const [frames, ...frameShape] = shape;
  if (firstFrame < 0 || frameCount < 1 || firstFrame + frameCount > frames!) {
    throw new FarmError(
      "invalid-argument",
      `frames ${firstFrame}..${firstFrame + frameCount - 1} of a clip that has ${frames}`,
    );
  }
  const values = elementCount(frameShape);
  const slice = data.subarray(firstFrame * values, (firstFrame + frameCount) * values);
  return { shape: [frameCount, ...frameShape], data: slice };
}
