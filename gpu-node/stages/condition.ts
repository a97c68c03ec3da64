/** @file Stage: picture and seeds -> what the denoising of one clip starts from, in one blob. */
import { FarmError } from "../../shared/core/errors.js";
import type { ConditionWork } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { type ClipNoise, drawClipNoise } from "../diffusion/clip-noise.js";
import { clipPixels } from "../diffusion/clip-pixels.js";
import { planSteps } from "../diffusion/euler-discrete.js";
import { scaleInitialNoise } from "../diffusion/euler-step.js";
import type { RgbPicture } from "../diffusion/rgb-picture.js";
import { addImageNoise, vaeInput } from "../diffusion/vae-input.js";
import { stepRequest } from "./denoise-maths.js";
import { type ClipPlace, conditioningKey } from "./keys.js";
import { decodePicture } from "./picture.js";
import { refuseAborted, type StageContext } from "./stage-context.js";
import { clipOfLatentsFile, encodeConditioning } from "./tensor-blobs.js";

/**
 * Embeds the picture, encodes it with its noise, and draws the initial noise.
 *
 * @returns the conditioning, as `decodeConditioning` reads it
 * @throws FarmError "invalid-argument" for a picture or a latents file that cannot be used, and what
 *   the ports throw
 * @source diffusers pipeline_stable_video_diffusion.py, __call__ (3. Encode input image,
 *   4. Encode input image using VAE, 7. Prepare latent variables)
 */
export async function runCondition(
  work: ConditionWork,
  place: ClipPlace,
  context: StageContext,
): Promise<BlobRef> {
  const { blobs, signal } = context;
  const picture = await decodePicture(await blobs.get(work.image), "image");
  const shape = latentsShape(work, context);
  const noise = drawNoise(work, shape);
  const drawn = noise.latents ?? (await latentsFromFile(work, shape, context)).data;
  refuseAborted(signal);

  const imageEmbedding = await embedPicture(picture, context);
  refuseAborted(signal);
  const imageLatents = await encodePicture(picture, noise.picture, work, context);
  refuseAborted(signal);

  const { initNoiseSigma } = planSteps(context.configs.scheduler, stepRequest(work.parameters));
  const initialLatents = tensor(shape, scaleInitialNoise(drawn, initNoiseSigma));
  const blob = encodeConditioning({ imageEmbedding, imageLatents, initialLatents });
  return blobs.put(conditioningKey(place), blob);
}

/** [F, C, h, w] of one clip. */
function latentsShape({ parameters }: ConditionWork, { configs }: StageContext): number[] {
  const { height, width, numFrames } = parameters;
  const factor = 2 ** (configs.vae.block_out_channels.length - 1);
  if (height % factor !== 0 || width % factor !== 0) {
    throw new FarmError(
      "invalid-argument",
      `height ${height} and width ${width} must be multiples of ${factor} for this checkpoint`,
    );
  }
  return [numFrames, configs.vae.latent_channels, height / factor, width / factor];
}

function drawNoise({ noise, parameters }: ConditionWork, shape: readonly number[]): ClipNoise {
  const size = {
    pictureValues: 3 * parameters.height * parameters.width,
    latentValues: elementCount(shape),
  };
  return drawClipNoise(noise, size, noise.latents === null);
}

/** CLIP's embedding [1, 1, D]. */
async function embedPicture(
  picture: RgbPicture,
  { runtime, configs }: StageContext,
): Promise<Tensor> {
  const { image_size: size } = configs.image_encoder;
  const { image_mean: mean, image_std: std } = configs.feature_extractor;
  const pixels = clipPixels(picture, { size, mean: perChannel(mean), std: perChannel(std) });
  const outputs = await runtime.run(
    { module: "image_encoder" },
    { pixel_values: tensor([1, 3, size, size], pixels) },
  );
  const { data } = outputs["image_embeds"]!;
  return tensor([1, 1, data.length], data);
}

/** The config's reader has made sure of three. */
function perChannel(values: readonly number[]): readonly [number, number, number] {
  const [red, green, blue] = values;
  return [red!, green!, blue!];
}

/** The VAE's mode for the noised picture [C, h, w]; not scaled, as the UNet was trained. */
async function encodePicture(
  picture: RgbPicture,
  noise: Float32Array,
  { parameters }: ConditionWork,
  { runtime }: StageContext,
): Promise<Tensor> {
  const { height, width, noiseAugStrength } = parameters;
  const image = vaeInput(picture, width, height);
  addImageNoise(image, noise, noiseAugStrength);
  const outputs = await runtime.run(
    { module: "vae_encoder", height, width },
    { x: tensor([1, 3, height, width], image) },
  );
  const { shape, data } = outputs["mode"]!;
  return tensor(shape.slice(-3), data);
}

async function latentsFromFile(
  { noise }: ConditionWork,
  shape: readonly number[],
  { blobs }: StageContext,
): Promise<Tensor> {
  const file = await blobs.get(noise.latents!);
  return clipOfLatentsFile(file, [noise.clipCount, ...shape], noise.clipIndex);
}
