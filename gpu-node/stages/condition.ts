/** @file Stage: picture and seeds -> what the denoising of one clip starts from, in one blob. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { FarmError } from "../../shared/core/errors.js";
import type { ClipParameters } from "../../shared/farm/parameters.js";
import type { ConditionWork } from "../../shared/farm/work.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { type ClipNoise, type ClipNoisePlan, drawClipNoise } from "../diffusion/clip-noise.js";
import { clipPixels } from "../diffusion/clip-pixels.js";
import { planSteps } from "../diffusion/euler-discrete.js";
import { scaleInitialNoise } from "../diffusion/euler-step.js";
import { fitPicture } from "../diffusion/fit-picture.js";
import type { RgbPicture } from "../diffusion/rgb-picture.js";
import { addImageNoise, vaeInput } from "../diffusion/vae-input.js";
import { stepRequest } from "./denoise-maths.js";
import { type ClipPlace, conditioningKey } from "./keys.js";
import { decodePicture } from "./picture.js";
import { previewColours } from "./preview-colours.js";
import { type Made, refuseAborted, type StageContext } from "./stage-context.js";
import { type Conditioning, clipOfLatentsFile, encodeConditioning } from "./tensor-blobs.js";

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
): Promise<Made> {
  const { blobs } = context;
  const { parameters, noise } = work;
  const picture = await decodePicture(await blobs.get(work.image), "image");
  const latents = noise.latents && (await latentsFromFile(work, context));
  const conditioning = await conditionClip({ picture, parameters, noise, latents }, context);
  const colourMap = work.preview ? await previewColours(context) : null;
  await context.onComputed?.();
  const bytes = encodeConditioning({ ...conditioning, colourMap });
  return { key: conditioningKey(place), bytes };
}

/** What the conditioning of one clip is made from. */
export interface ClipSource {
  readonly picture: RgbPicture;
  readonly parameters: ClipParameters;
  readonly noise: ClipNoisePlan;
  /** Initial noise [F, C, h, w] in place of what the seeds give. */
  readonly latents: Tensor | null;
}

/**
 * The same without a store, and without previews.
 *
 * @throws FarmError "invalid-argument" for a size that the checkpoint has not, "cancelled" after an
 *   abort, and what the runtime throws
 */
export async function conditionClip(
  source: ClipSource,
  context: Omit<StageContext, "blobs">,
): Promise<Conditioning> {
  const { parameters } = source;
  const { configs, signal } = context;
  const shape = latentsShape(parameters, configs);
  const noise = drawNoise(source, shape);
  refuseAborted(signal);

  const picture = fitPicture(source.picture, parameters, parameters.fit);
  // CLIP's pixels take this thread a while, and the accelerator need not wait for them.
  const [imageLatents, pixels] = await Promise.all([
    encodePicture(picture, noise.picture, parameters, context),
    nextTurn().then(() => encoderPixels(picture, configs)),
  ]);
  refuseAborted(signal);
  const imageEmbedding = await embedPixels(pixels, context);
  refuseAborted(signal);

  const { initNoiseSigma } = planSteps(configs.scheduler, stepRequest(parameters));
  const drawn = noise.latents ?? source.latents!.data;
  const initialLatents = tensor(shape, scaleInitialNoise(drawn, initNoiseSigma));
  return { imageEmbedding, imageLatents, initialLatents };
}

/** [F, C, h, w] of one clip. */
function latentsShape(parameters: ClipParameters, configs: StageContext["configs"]): number[] {
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

function drawNoise(
  { noise, parameters, latents }: ClipSource,
  shape: readonly number[],
): ClipNoise {
  const size = {
    pictureValues: 3 * parameters.height * parameters.width,
    latentValues: elementCount(shape),
  };
  return drawClipNoise(noise, size, latents === null);
}

/** What CLIP looks at [1, 3, size, size]. */
function encoderPixels(picture: RgbPicture, configs: StageContext["configs"]): Tensor {
  const { image_size: size } = configs.image_encoder;
  const { image_mean: mean, image_std: std } = configs.feature_extractor;
  const pixels = clipPixels(picture, { size, mean: perChannel(mean), std: perChannel(std) });
  return tensor([1, 3, size, size], pixels);
}

/** CLIP's embedding [1, 1, D]. */
async function embedPixels(
  pixels: Tensor,
  { runtime }: Pick<StageContext, "runtime">,
): Promise<Tensor> {
  const outputs = await runtime.run({ module: "image_encoder" }, { pixel_values: pixels });
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
  { height, width, noiseAugStrength }: ClipParameters,
  { runtime }: Pick<StageContext, "runtime">,
): Promise<Tensor> {
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
  { noise, parameters }: ConditionWork,
  { blobs, configs }: StageContext,
): Promise<Tensor> {
  const shape = latentsShape(parameters, configs);
  const file = await blobs.get(noise.latents!);
  return clipOfLatentsFile(file, [noise.clipCount, ...shape], noise.clipIndex);
}
