/** @file Which parameters a model has, by its configs alone: what presets and checkpoints are told by. */
import { buildVaeDecoder, buildVaeEncoder } from "./autoencoder-kl-temporal-decoder.js";
import { buildImageEncoder } from "./clip-vision.js";
import type { CheckpointConfigs } from "./configs/components-fit.js";
import { buildUnet } from "./unet-spatio-temporal-condition.js";
import { ImpliedWeights, type WeightDtype, type WeightIndex } from "./weights.js";

/** The configs that say what the networks are. */
export type ModelConfigs = Pick<CheckpointConfigs, "unet" | "vae" | "image_encoder">;

/** Parameters by the folder that holds them. */
export type ModelParameters = Readonly<Record<keyof ModelConfigs, WeightIndex>>;

/**
 * Every parameter that the graphs of these configs ask for, in the order in which they do.
 *
 * @param dtype in which they would be stored; they lie in no file
 */
export function impliedParameters(configs: ModelConfigs, dtype: WeightDtype): ModelParameters {
  const implied = () => new ImpliedWeights(dtype);
  const [unet, encoder, decoder, imageEncoder] = [implied(), implied(), implied(), implied()];
  // The smallest sizes: parameters do not depend on them.
  const factor = 2 ** (configs.vae.block_out_channels.length - 1);
  const cells = 2 ** (configs.unet.block_out_channels.length - 1);
  buildUnet(configs.unet, unet, { frames: 1, height: cells, width: cells });
  buildVaeEncoder(configs.vae, encoder, { height: factor, width: factor });
  buildVaeDecoder(configs.vae, decoder, { frames: 1, height: 1, width: 1 });
  buildImageEncoder(configs.image_encoder, imageEncoder);
  // Each graph of the VAE takes a part of its parameters.
  return { unet, vae: new Map([...encoder, ...decoder]), image_encoder: imageEncoder };
}

/**
 * A line a parameter, "unet conv_in.weight [320, 8, 3, 3]", sorted: equal texts, equal structures.
 */
export function structureText(parameters: ModelParameters): string {
  const lines = Object.entries(parameters).flatMap(([component, index]) =>
    [...index.values()].map(({ name, shape }) => `${component} ${name} [${shape.join(", ")}]`),
  );
  return lines.sort().join("\n");
}
