/** @file Stage: finished latents of one chunk -> its frames. */

import { FarmError } from "../../shared/core/errors.js";
import type { DecodeWork } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { framesFromDecoder, framesToBytes, unscaleLatents } from "../diffusion/frames.js";
import { type ClipPlace, chunkKey } from "./keys.js";
import { refuseAborted, type StageContext } from "./stage-context.js";
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
): Promise<BlobRef> {
  const latents = chunkLatents(decodeLatents(await context.blobs.get(work.latents)), work);
  refuseAborted(context.signal);

  const [frames, , h, w] = latents.shape as [number, number, number, number];
  const { scaling_factor } = context.configs.vae;
  const outputs = await context.runtime.run(
    { module: "vae_decoder", frames, height: h, width: w },
    { z: tensor(latents.shape, unscaleLatents(latents.data, scaling_factor)) },
  );
  refuseAborted(context.signal);

  const { height, width } = work.parameters;
  const pictures = framesFromDecoder(outputs["sample"]!.data, { frames, height, width });
  const shape = [frames, height, width, 3];
  const { buffer, byteOffset, byteLength } = pictures;
  const chunk = work.keepFloat
    ? { dtype: "F32" as const, shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) }
    : { dtype: "U8" as const, shape, bytes: framesToBytes(pictures) };
  return context.blobs.put(chunkKey(place, work.firstFrame), encodeFrames(chunk));
}

function chunkLatents({ shape, data }: Tensor, work: DecodeWork): Tensor {
  const { firstFrame, frameCount } = work;
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
