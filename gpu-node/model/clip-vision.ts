/**
 * @file The image encoder: a picture to the one token that the UNet's cross-attention reads.
 *
 * @source transformers models/clip/modeling_clip.py, CLIPVisionModelWithProjection
 */
import { assertNever } from "../../shared/core/assert.js";
import { attend } from "./attend.js";
import type { ClipActivation, ImageEncoderConfig } from "./configs/image-encoder-config.js";
import type { BuiltGraph, GraphVariant } from "./graph.js";
import { GraphBuilder, type Value } from "./graph-builder.js";
import { conv2d, layerNorm, linear } from "./layers.js";
import { add, cast, gelu, mul, sigmoid, toComputeType } from "./ops-math.js";
import { concat, reshape, slice, transpose } from "./ops-shape.js";
import { Weights } from "./parameters.js";
import type { WeightIndex } from "./weights.js";

/**
 * pixel_values [1, num_channels, image_size, image_size], normalised with CLIP's mean and deviation
 * -> image_embeds [1, projection_dim].
 *
 * @throws FarmError "checkpoint-invalid" when weights and config do not fit each other
 * @source CLIPVisionModelWithProjection.forward
 */
export function buildImageEncoder(
  config: ImageEncoderConfig,
  weights: WeightIndex,
  variant?: GraphVariant,
): BuiltGraph {
  const g = new GraphBuilder("image encoder", variant);
  const w = Weights.root(g, "image_encoder", weights);
  const side = config.image_size;
  const pixels = g.input("pixel_values", [1, config.num_channels, side, side]);

  const model = w.at("vision_model");
  let h = visionEmbeddings(model.at("embeddings"), config, toComputeType(pixels));
  h = layerNorm(model.at("pre_layrnorm"), h, config.layer_norm_eps); // the checkpoint's spelling
  for (let i = 0; i < config.num_hidden_layers; i++) {
    h = encoderLayer(model.at("encoder", "layers", i), config, h);
  }
  const classToken = reshape(slice(h, 1, 0, 1), [1, config.hidden_size]);
  const pooled = layerNorm(model.at("post_layernorm"), classToken, config.layer_norm_eps);
  const projected = linear(w.at("visual_projection"), pooled, config.projection_dim, {
    bias: false,
  });
  g.output("image_embeds", cast(projected, "float32"));

  return g.build(w.finish());
}

/**
 * A token for the class and one for each patch.
 *
 * @param pixels [1, num_channels, image_size, image_size]
 * @returns [1, 1 + patches, hidden_size]
 * @source CLIPVisionEmbeddings.forward
 */
function visionEmbeddings(w: Weights, config: ImageEncoderConfig, pixels: Value): Value {
  const { hidden_size: width, patch_size: patch } = config;
  w.skipIfPresent("position_ids", "0, 1, 2 …, saved by older versions of transformers");
  const grid = conv2d(w.at("patch_embedding"), pixels, width, {
    kernel: patch,
    strides: [patch, patch],
    bias: false,
  });
  const patches = grid.shape[2]! * grid.shape[3]!;
  const tokens = transpose(reshape(grid, [1, width, patches]), [0, 2, 1]);
  const classToken = w.take("class_embedding", [width], [1, 1, width]);
  const position = w
    .at("position_embedding")
    .take("weight", [1 + patches, width], [1, 1 + patches, width]);
  return add(concat([classToken, tokens], 1), position);
}

/**
 * @param x [1, tokens, hidden_size]
 * @source CLIPEncoderLayer.forward
 */
function encoderLayer(w: Weights, config: ImageEncoderConfig, x: Value): Value {
  const { hidden_size: width, layer_norm_eps: eps } = config;
  const attn = w.at("self_attn");
  const normed = layerNorm(w.at("layer_norm1"), x, eps);
  const project = (name: string): Value => linear(attn.at(name), normed, width);
  const attended = attend(
    project("q_proj"),
    project("k_proj"),
    project("v_proj"),
    config.num_attention_heads,
  );
  const h = add(x, linear(attn.at("out_proj"), attended, width));

  const inner = linear(
    w.at("mlp", "fc1"),
    layerNorm(w.at("layer_norm2"), h, eps),
    config.intermediate_size,
  );
  return add(h, linear(w.at("mlp", "fc2"), activation(config.hidden_act, inner), width));
}

function activation(name: ClipActivation, x: Value): Value {
  switch (name) {
    case "gelu":
      return gelu(x);
    case "quick_gelu":
      return mul(x, sigmoid(mul(x, x.graph.floats([1], [1.702]))));
    default:
      return assertNever(name);
  }
}
