/** @file The file that says which class each component of a checkpoint has. */
import { z } from "zod";
import { readConfig } from "./read-config.js";

/** `model_index.json`: the class of each component. */
export interface ModelIndex {
  readonly unet: string;
  readonly vae: string;
  readonly image_encoder: string;
  readonly scheduler: string;
  readonly feature_extractor: string;
}

/**
 * Reads `model_index.json`: it must name the pipeline and the five components that this farm knows.
 *
 * @param json the parsed file
 * @param file name for messages
 * @throws FarmError "checkpoint-invalid" with every component that is missing or of another class
 * @source diffusers pipelines/stable_video_diffusion, StableVideoDiffusionPipeline
 */
export function readModelIndex(json: unknown, file = "model_index.json"): ModelIndex {
  const { _class_name, ...classes } = readConfig(modelIndexSchema, json, file);
  return classes;
}

/** A component is written as [library, class]; code of its own would change the numbers unseen. */
function component(library: string, className: string, pattern = new RegExp(`^${className}$`)) {
  const error = `must be ["${library}", "${className}"]: nothing else is supported here`;
  return z
    .tuple([z.literal(library, { error }), z.string({ error }).regex(pattern, error)], { error })
    .transform(([, name]) => name);
}

const PIPELINE = "StableVideoDiffusionPipeline";

const modelIndexSchema = z.object({
  _class_name: z.literal(PIPELINE, {
    error: `must be ${PIPELINE}: no other pipeline is supported`,
  }),
  unet: component("diffusers", "UNetSpatioTemporalConditionModel"),
  vae: component("diffusers", "AutoencoderKLTemporalDecoder"),
  image_encoder: component("transformers", "CLIPVisionModelWithProjection"),
  scheduler: component("diffusers", "EulerDiscreteScheduler"),
  feature_extractor: component(
    "transformers",
    "CLIPImageProcessor",
    /^CLIP(ImageProcessor(Fast|Pil)?|FeatureExtractor)$/,
  ),
});
