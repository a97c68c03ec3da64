/** @file The configuration of CLIP's picture preparation. */
import { z } from "zod";
import { count, readConfig } from "./read-config.js";

/** Extents in pixels. */
type ImageSize =
  | { readonly height: number; readonly width: number }
  | { readonly shortest_edge: number };

/**
 * `feature_extractor/preprocessor_config.json`.
 *
 * The pipeline resizes the picture itself and then asks for the normalisation alone, whatever the
 * `do_*` fields say: only mean and std reach a number.
 *
 * @source transformers models/clip/image_processing_clip.py, CLIPImageProcessor; diffusers
 *   pipeline_stable_video_diffusion.py, _encode_image
 */
export interface FeatureExtractorConfig {
  /** Per channel of a picture in 0..1. */
  readonly image_mean: readonly number[];
  /** Per channel, > 0. */
  readonly image_std: readonly number[];
  readonly size: ImageSize;
  readonly crop_size: ImageSize;
}

/**
 * Reads `feature_extractor/preprocessor_config.json` and fills in the reference's defaults.
 *
 * @param json the parsed file
 * @param file name for messages
 * @throws FarmError "checkpoint-invalid" with every wrong field
 */
export function readFeatureExtractorConfig(
  json: unknown,
  file = "feature_extractor/preprocessor_config.json",
): FeatureExtractorConfig {
  const { image_mean, image_std, size, crop_size } = readConfig(featureExtractorSchema, json, file);
  return { image_mean, image_std, size, crop_size };
}

const CHANNELS = 3;
/** One number stands for all channels. */
const perChannel = (value: z.ZodNumber, legal: string) =>
  z
    .union([value, z.array(value).length(CHANNELS)], { error: `must be three ${legal}, or one` })
    .transform((given) =>
      typeof given === "number" ? Array<number>(CHANNELS).fill(given) : given,
    );

/** Today's files name the sides; older ones give one number or [height, width]. */
const sizeOf = (fromNumber: (pixels: number) => ImageSize) =>
  z.union(
    [
      z.object({ height: count, width: count }),
      z.object({ shortest_edge: count }),
      z.tuple([count, count]).transform(([height, width]) => ({ height, width })),
      count.transform(fromNumber),
    ],
    { error: "must be pixels: height and width, shortest_edge, a pair or one number" },
  );

/** CLIPFeatureExtractor is the older name; Fast and Pil name ways to compute the same. */
const processorName = z
  .string()
  .regex(/^CLIP(ImageProcessor(Fast|Pil)?|FeatureExtractor)$/, "must be CLIPImageProcessor")
  .optional();

const featureExtractorSchema = z.object({
  image_processor_type: processorName,
  feature_extractor_type: processorName,
  image_mean: perChannel(z.number(), "numbers").default([0.48145466, 0.4578275, 0.40821073]),
  image_std: perChannel(z.number().positive(), "numbers above 0").default([
    0.26862954, 0.26130258, 0.27577711,
  ]),
  size: sizeOf((shortest_edge) => ({ shortest_edge })).default({ shortest_edge: 224 }),
  crop_size: sizeOf((side) => ({ height: side, width: side })).default({ height: 224, width: 224 }),
});
