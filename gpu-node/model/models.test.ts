/** @file The four graphs as wholes: what they account for, what they are called, which sizes they take. */
import { beforeAll, describe, expect, test } from "vitest";
import { ModelProto } from "../../proto/gen/onnx/onnx.js";
import { FarmError } from "../../shared/core/errors.js";
import { elementCount } from "../../shared/tensor/tensor.js";
import { goldenPath } from "../../test/golden/read-golden.js";
import { type Checkpoint, openCheckpoint } from "../checkpoint/open-checkpoint.js";
import { buildVaeDecoder, buildVaeEncoder } from "./autoencoder-kl-temporal-decoder.js";
import { buildImageEncoder } from "./clip-vision.js";
import type { BuiltGraph } from "./graph.js";
import { GraphBuilder, type Value } from "./graph-builder.js";
import { Weights } from "./parameters.js";
import { midBlockTemporalDecoder } from "./unet-3d-blocks.js";
import { buildUnet } from "./unet-spatio-temporal-condition.js";
import type { WeightEntry, WeightIndex } from "./weights.js";

const CLIP = { frames: 3, height: 8, width: 8 };

let checkpoint: Checkpoint;
beforeAll(async () => {
  checkpoint = await openCheckpoint(goldenPath("two-level/checkpoint"));
});

type Build = (change?: (index: WeightIndex) => WeightIndex) => BuiltGraph;
const same = (index: WeightIndex): WeightIndex => index;
const builders: Record<string, Build> = {
  unet: (change = same) =>
    buildUnet(checkpoint.configs.unet, change(checkpoint.components.unet.weights), CLIP),
  vaeEncoder: (change = same) =>
    buildVaeEncoder(checkpoint.configs.vae, change(checkpoint.components.vae.weights), {
      height: 64,
      width: 64,
    }),
  vaeDecoder: (change = same) =>
    buildVaeDecoder(checkpoint.configs.vae, change(checkpoint.components.vae.weights), CLIP),
  imageEncoder: (change = same) =>
    buildImageEncoder(
      checkpoint.configs.image_encoder,
      change(checkpoint.components.image_encoder.weights),
    ),
};

describe("the parameters of a checkpoint", () => {
  type Case = [model: string, name: string, component: string];
  const cases: Case[] = [
    ["unet", "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.bias", "unet"],
    ["unet", "mid_block.attentions.0.transformer_blocks.0.attn2.to_q.weight", "unet"],
    ["vaeEncoder", "quant_conv.weight", "vae"],
    ["vaeDecoder", "decoder.time_conv_out.bias", "vae"],
    ["imageEncoder", "vision_model.pre_layrnorm.weight", "image_encoder"],
  ];

  test.each(cases)("%s without %s", (model, name, component) => {
    const error = thrownBy(() => builders[model]!((index) => without(index, name)));
    expect(error.code).toBe("checkpoint-invalid");
    expect(error.violations).toHaveLength(1);
    expect(error.detail).toContain(`${component}: ${name}: is missing`);
  });

  test.each(cases)("%s with %s in another shape", (model, name) => {
    const reshaped = (index: WeightIndex): WeightIndex => {
      const entry = index.get(name)!;
      return new Map([...index, [name, { ...entry, shape: [1, ...entry.shape] }]]);
    };
    const error = thrownBy(() => builders[model]!(reshaped));
    expect(error.violations).toHaveLength(1);
    expect(error.detail).toContain(`${name}: has the shape [1, `);
  });

  test.each([
    ["unet", "down_blocks.9.extra.weight"],
    ["vaeEncoder", "encoder.extra.weight"],
    ["vaeDecoder", "decoder.extra.weight"],
    ["vaeDecoder", "post_quant_conv.weight"],
    ["imageEncoder", "extra.weight"],
  ])("%s with %s, which nobody reads", (model, name) => {
    const error = thrownBy(() => builders[model]!((index) => withEntry(index, name, [2])));
    expect(error.detail).toContain(`${name}: is not part of the model`);
  });

  test("encoder and decoder of the VAE share them without rest", () => {
    const counts = ["vaeEncoder", "vaeDecoder"].map((model) => builders[model]!().parameterCount);
    const all = [...checkpoint.components.vae.weights.values()];
    const total = all.reduce((sum, entry) => sum + elementCount(entry.shape), 0);
    expect(counts[0]! + counts[1]!).toBe(total);
  });

  test("position_ids of older versions of transformers are no error", () => {
    const name = "vision_model.embeddings.position_ids";
    const graph = builders["imageEncoder"]!((index) => withEntry(index, name, [1, 50]));
    expect(graph.nodeCount).toBe(builders["imageEncoder"]!().nodeCount);
  });
});

describe("names in the graph", () => {
  test.each(["unet", "vaeEncoder", "vaeDecoder", "imageEncoder"])("%s", (model) => {
    const { node } = ModelProto.decode(builders[model]!().bytes).graph!;
    const names = node.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const component = model.startsWith("vae") ? "vae" : model;
    const key = component === "imageEncoder" ? "image_encoder" : (component as "unet" | "vae");
    const modules = new Set(
      [...checkpoint.components[key].weights.keys()].map((n) => n.slice(0, n.lastIndexOf("."))),
    );
    // Before the first parameter there is nothing to be called after.
    const named = names.filter((name) => name.includes("/"));
    expect(named.length).toBeGreaterThan(0.9 * names.length);
    for (const name of named) {
      expect(modules).toContain(name.slice(0, name.indexOf("/")));
    }
  });
});

describe("sizes", () => {
  test.each([
    [1, 1, 1],
    [2, 5, 7],
    [1, 6, 9],
    [25, 8, 8],
  ])("of a clip of %i frames of %ix%i cells come out as they went in", (frames, height, width) => {
    const { configs, components } = checkpoint;
    const unet = buildUnet(configs.unet, components.unet.weights, { frames, height, width });
    expect(unet.inputs[0]!.shape).toEqual([1, frames, 8, height, width]);
    expect(unet.outputs).toEqual([{ name: "out_sample", shape: [1, frames, 4, height, width] }]);

    const size = { frames, height, width };
    const decoder = buildVaeDecoder(configs.vae, components.vae.weights, size);
    expect(decoder.outputs).toEqual([
      { name: "sample", shape: [frames, 3, 2 * height, 2 * width] },
    ]);
  });

  test("the number of added ids must be whole", () => {
    const config = { ...checkpoint.configs.unet, addition_time_embed_dim: 31 };
    const { weights } = checkpoint.components.unet;
    expect(() => buildUnet(config, weights, CLIP)).toThrow(
      "projection_class_embeddings_input_dim 96 must be a multiple of addition_time_embed_dim 31",
    );
  });
});

describe("the middle of the VAE's decoder, which runs at most two of its residual blocks", () => {
  /** The same parameters for every residual block and the attention. */
  function weightsOf(layers: number): WeightIndex {
    const block = "decoder.mid_block.resnets.0.";
    const shared = [...checkpoint.components.vae.weights].flatMap(([name, entry]) => {
      if (name.startsWith("decoder.mid_block.attentions.")) return [entry];
      if (!name.startsWith(block)) return [];
      return Array.from({ length: layers }, (_, i) => ({
        ...entry,
        name: `decoder.mid_block.resnets.${i}.${name.slice(block.length)}`,
      }));
    });
    return new Map(shared.map((entry) => [entry.name, entry]));
  }

  test.each([
    [1, ["resnets.0"]],
    [2, ["attentions.0", "resnets.0", "resnets.1"]],
    [3, ["attentions.0", "resnets.0", "resnets.1"]],
  ])("%i in the checkpoint", (layers, inGraph) => {
    const g = new GraphBuilder("test");
    const w = Weights.root(g, "vae", weightsOf(layers)).at("decoder", "mid_block");
    const x: Value = g.input("x", [2, 64, 4, 4]);
    g.output("y", midBlockTemporalDecoder(w, x, layers));
    const graph = g.build(w.finish());

    const { initializer } = ModelProto.decode(graph.bytes).graph!;
    const used = initializer.filter((i) => i.name.includes("mid_block"));
    const blocks = used.map((i) => i.name.split(".").slice(2, 4).join("."));
    expect([...new Set(blocks)].sort()).toEqual(inGraph);
  });
});

function without(index: WeightIndex, name: string): WeightIndex {
  return new Map([...index].filter(([key]) => key !== name));
}

function withEntry(index: WeightIndex, name: string, shape: readonly number[]): WeightIndex {
  const byteLength = 4 * elementCount(shape);
  const entry: WeightEntry = { name, dtype: "F32", shape, file: "w", offset: 0, byteLength };
  return new Map([...index, [name, entry]]);
}

function thrownBy(act: () => unknown): FarmError {
  try {
    act();
  } catch (error) {
    if (error instanceof FarmError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
