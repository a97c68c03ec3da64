/** @file Whether the components of a checkpoint belong together. */
import type { Violation } from "../../../shared/core/errors.js";
import { ADDED_TIME_IDS } from "../../diffusion/time-ids.js";
import { refuseCheckpoint } from "../checkpoint-problems.js";
import type { FeatureExtractorConfig } from "./feature-extractor-config.js";
import type { ImageEncoderConfig } from "./image-encoder-config.js";
import type { SchedulerConfig } from "./scheduler-config.js";
import { levelHasAttention, type UnetConfig } from "./unet-config.js";
import type { VaeConfig } from "./vae-config.js";

/** The config files of a checkpoint, by component. */
export interface CheckpointConfigs {
  readonly unet: UnetConfig;
  readonly vae: VaeConfig;
  readonly image_encoder: ImageEncoderConfig;
  readonly scheduler: SchedulerConfig;
  readonly feature_extractor: FeatureExtractorConfig;
}

/** The reference resizes pictures to this for the image encoder, whatever its config says. */
const CLIP_PICTURE_SIDE = 224;
const RGB = 3;

/**
 * Checks what one component's output must be for the next component's input.
 *
 * @throws FarmError "checkpoint-invalid" with every misfit, naming the file and the field
 * @source diffusers pipeline_stable_video_diffusion.py: _get_add_time_ids, prepare_latents,
 *   _encode_image, __call__
 */
export function checkComponentsFit(configs: CheckpointConfigs): void {
  const { unet, vae, image_encoder: clip } = configs;
  const problems: Violation[] = [];
  const mustBe = (file: string, field: string, is: number, expected: number, why: string) => {
    if (is === expected) return;
    const description = `is ${is}, must be ${expected}: ${why}`;
    problems.push({ field: `${file}/config.json: ${field}`, description });
  };

  mustBe("vae", "in_channels", vae.in_channels, RGB, "pictures are RGB");
  mustBe("vae", "out_channels", vae.out_channels, RGB, "frames are RGB");
  const latents = vae.latent_channels;
  const twice = "vae latent_channels, of the noise and of the picture";
  mustBe("unet", "in_channels", unet.in_channels, 2 * latents, `twice ${twice}`);
  mustBe("unet", "out_channels", unet.out_channels, latents, "vae latent_channels");

  const idsWidth = ADDED_TIME_IDS.length * unet.addition_time_embed_dim;
  const ids = `addition_time_embed_dim for each of ${ADDED_TIME_IDS.join(", ")}`;
  const projection = unet.projection_class_embeddings_input_dim;
  mustBe("unet", "projection_class_embeddings_input_dim", projection, idsWidth, ids);

  mustBe("image_encoder", "num_channels", clip.num_channels, RGB, "pictures are RGB");
  const side = "the size that pictures are resized to";
  mustBe("image_encoder", "image_size", clip.image_size, CLIP_PICTURE_SIDE, side);
  unet.cross_attention_dim.forEach((width, level) => {
    if (!levelHasAttention(unet, level)) return;
    const why = "image_encoder projection_dim, the width of the embedding";
    mustBe("unet", `cross_attention_dim[${level}]`, width, clip.projection_dim, why);
  });
  refuseCheckpoint(problems);
}
