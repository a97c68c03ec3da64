/**
 * @file Which normals of a job's random streams belong to one clip.
 *
 * diffusers draws for the whole batch at once: first the noise of all pictures, then the latents of
 * all clips. A node makes one clip, draws that clip's values and walks past the others.
 */
import { assert } from "../../shared/core/assert.js";
import { FarmError } from "../../shared/core/errors.js";
import { createTorchGenerator } from "./torch-generator.js";

/** The batch as diffusers sees it, and the place of one clip in it. */
export interface ClipNoisePlan {
  /** One: a single generator over the whole batch. As many as clips: a generator a clip. */
  readonly seeds: readonly bigint[];
  /** Pictures of the batch. */
  readonly imageCount: number;
  /** Clips of the batch; a multiple of `imageCount`. */
  readonly clipCount: number;
  /** Clip c is made from picture floor(c / (clipCount / imageCount)). */
  readonly clipIndex: number;
}

export interface ClipNoiseSize {
  /** Values of one prepared picture: 3 * height * width. */
  readonly pictureValues: number;
  /** Values of one clip's latents: frames * C * h * w. */
  readonly latentValues: number;
}

/** Standard normals. */
export interface ClipNoise {
  /** To be added to the clip's picture [pictureValues]. */
  readonly picture: Float32Array;
  /** Initial latents before scaling [latentValues]; null when they come from a file. */
  readonly latents: Float32Array | null;
}

/** The picture that a clip is made from. */
export function imageOfClip(plan: Omit<ClipNoisePlan, "seeds">): number {
  return Math.floor((plan.clipIndex * plan.imageCount) / plan.clipCount);
}

/**
 * The noise of one clip.
 *
 * With a list of seeds, picture i is noised by generator i and clip c drawn from generator c, which
 * has therefore moved past a picture exactly when c is below the number of pictures.
 *
 * @param drawLatents false when the initial latents come from a file: diffusers draws none then
 * @throws FarmError "invalid-argument" when the number of seeds fits neither one nor the clips
 * @source diffusers utils/torch_utils.py, randn_tensor; pipeline_stable_video_diffusion.py,
 *   __call__ (4. Encode input image using VAE) and prepare_latents
 */
export function drawClipNoise(
  plan: ClipNoisePlan,
  size: ClipNoiseSize,
  drawLatents: boolean,
): ClipNoise {
  const { seeds, imageCount, clipCount, clipIndex } = plan;
  assert(imageCount >= 1 && clipCount % imageCount === 0, "as many clips for every picture");
  assert(
    clipIndex >= 0 && clipIndex < clipCount,
    `a clip of 0..${clipCount - 1}, not ${clipIndex}`,
  );
  if (seeds.length === 1) return fromOneGenerator(seeds[0]!, plan, size, drawLatents);

  if (seeds.length !== clipCount) {
    throw new FarmError(
      "invalid-argument",
      `seeds: ${seeds.length} given; give 1 for the whole batch or ${clipCount}, one a clip`,
    );
  }
  const imageIndex = imageOfClip(plan);
  const picture = createTorchGenerator(seeds[imageIndex]!).randn(size.pictureValues);
  if (!drawLatents) return { picture, latents: null };
  const generator = createTorchGenerator(seeds[clipIndex]!);
  if (clipIndex < imageCount) generator.skipRandn(size.pictureValues);
  return { picture, latents: generator.randn(size.latentValues) };
}

function fromOneGenerator(
  seed: bigint,
  plan: ClipNoisePlan,
  size: ClipNoiseSize,
  drawLatents: boolean,
): ClipNoise {
  const generator = createTorchGenerator(seed);
  const slice = (values: number, count: number, index: number) =>
    generator.randnSlice(values * count, values * index, values * (index + 1));

  const picture = slice(size.pictureValues, plan.imageCount, imageOfClip(plan));
  if (!drawLatents) return { picture, latents: null };
  return { picture, latents: slice(size.latentValues, plan.clipCount, plan.clipIndex) };
}
