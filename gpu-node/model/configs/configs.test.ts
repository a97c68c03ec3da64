import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FarmError } from "../../../shared/core/errors.js";
import { goldenPath } from "../../../test/golden/read-golden.js";
import { type CheckpointConfigs, checkComponentsFit } from "./components-fit.js";
import { readFeatureExtractorConfig } from "./feature-extractor-config.js";
import { readImageEncoderConfig } from "./image-encoder-config.js";
import { readModelIndex } from "./model-index.js";
import { readSchedulerConfig } from "./scheduler-config.js";
import { levelHasAttention, readUnetConfig } from "./unet-config.js";
import { readVaeConfig } from "./vae-config.js";

/** A config file of a golden checkpoint, with some fields changed. */
function file(path: string, changes: object = {}): unknown {
  const text = readFileSync(goldenPath(path.replace(":", "/checkpoint/")), "utf8");
  return { ...(JSON.parse(text) as object), ...changes };
}

function problemsOf(action: () => unknown): string[] {
  try {
    action();
  } catch (error) {
    if (!(error instanceof FarmError)) throw error;
    expect(error.code).toBe("checkpoint-invalid");
    return error.violations.map((v) => `${v.field}: ${v.description}`);
  }
  return [];
}

describe("unet", () => {
  test("an empty file gives the reference's defaults, one value a level", () => {
    expect(readUnetConfig({})).toMatchObject({
      sample_size: null,
      in_channels: 8,
      out_channels: 4,
      block_out_channels: [320, 640, 1280, 1280],
      addition_time_embed_dim: 256,
      projection_class_embeddings_input_dim: 768,
      layers_per_block: [2, 2, 2, 2],
      cross_attention_dim: [1024, 1024, 1024, 1024],
      transformer_layers_per_block: [1, 1, 1, 1].map((n) => [n, n, n]),
      num_attention_heads: [5, 10, 20, 20],
      num_frames: 25,
    });
  });

  test("lists per level and per layer stay as they are, single numbers are spread", () => {
    expect(readUnetConfig(file("every-field:unet/config.json"))).toEqual({
      sample_size: null,
      in_channels: 12,
      out_channels: 6,
      down_block_types: ["DownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal"],
      up_block_types: ["CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"],
      block_out_channels: [64, 32],
      addition_time_embed_dim: 31,
      projection_class_embeddings_input_dim: 93,
      layers_per_block: [1, 2],
      cross_attention_dim: [8, 48],
      transformer_layers_per_block: [
        [3, 3],
        [2, 1, 1],
      ],
      num_attention_heads: [7, 4],
      num_frames: 9,
    });
  });

  test("a level attends when its down block, its up block or the mid block does", () => {
    const threeLevel = readUnetConfig(file("three-level:unet/config.json"));
    expect([0, 1, 2].map((level) => levelHasAttention(threeLevel, level))).toEqual([
      true,
      true,
      true,
    ]);
    const everyField = readUnetConfig(file("every-field:unet/config.json"));
    expect([0, 1].map((level) => levelHasAttention(everyField, level))).toEqual([false, true]);
  });

  test("heads that divide nothing are legal on a level without attention", () => {
    const change = { num_attention_heads: [7, 4] };
    expect(problemsOf(() => readUnetConfig(file("every-field:unet/config.json", change)))).toEqual(
      [],
    );
  });

  const refused: [change: Record<string, unknown>, problem: RegExp][] = [
    [{ _class_name: "UNet2DConditionModel" }, /_class_name: must be UNetSpatio.*"UNet2DCond/],
    [{ quantization_config: { bits: 4 } }, /quantization_config: quantized/],
    [{ in_channels: 0 }, /in_channels: .*>=1.*\(is 0\)/],
    [{ in_channels: "8" }, /in_channels: .*\(is "8"\)/],
    [{ num_frames: 1e9 }, /num_frames/],
    [{ num_frames: 2.5 }, /num_frames/],
    [{ block_out_channels: [32, 48] }, /block_out_channels\[1\]: 48 is no multiple of 32/],
    [{ block_out_channels: [] }, /block_out_channels/],
    [{ block_out_channels: [32, 64, 64] }, /down_block_types: has 2 entries for 3 levels/],
    [{ down_block_types: ["DownBlock2D", "DownBlockSpatioTemporal"] }, /down_block_types\[0\]/],
    [{ up_block_types: ["UpBlockSpatioTemporal"] }, /up_block_types: has 1 entries for 2/],
    [{ layers_per_block: [1, 2, 3] }, /layers_per_block: has 3 entries for 2/],
    [{ layers_per_block: 0 }, /layers_per_block: .*>=1.*\(is 0\)/],
    [{ cross_attention_dim: [32] }, /cross_attention_dim: has 1 entries for 2/],
    [{ num_attention_heads: [8, 8, 8] }, /num_attention_heads: has 3 entries for 2/],
    [{ num_attention_heads: [5, 8] }, /num_attention_heads\[0\]: 5 does not divide the 32/],
    [{ num_attention_heads: [8, 5] }, /num_attention_heads\[1\]: 5 does not divide the 64/],
    [{ transformer_layers_per_block: [[1, 1], 1] }, /per_block\[0\]: has 2 entries.* read 3/],
    [{ transformer_layers_per_block: [1, -1] }, /transformer_layers_per_block\[1\]: .*\(is -1\)/],
    [
      { transformer_layers_per_block: "1" },
      /transformer_layers_per_block: must be an integer from 0/,
    ],
    [{ transformer_layers_per_block: [1, 1, 1] }, /transformer_layers_per_block: has 3/],
  ];
  test.each(refused)("%j is refused by name", (change, problem) => {
    const problems = problemsOf(() => readUnetConfig(file("two-level:unet/config.json", change)));
    expect(problems.join("\n")).toMatch(problem);
    expect(problems.every((p) => p.startsWith("unet/config.json: "))).toBe(true);
  });

  test("every wrong field of a file is named at once", () => {
    const change = { in_channels: -1, num_frames: null, sample_size: "big" };
    const problems = problemsOf(() => readUnetConfig(file("two-level:unet/config.json", change)));
    expect(problems).toHaveLength(3);
  });

  test.each([[null], [[]], ["text"], [7]])("a file that holds %j is refused", (json) => {
    expect(problemsOf(() => readUnetConfig(json))).toEqual([
      expect.stringMatching(/^unet\/config.json: /),
    ]);
  });

  test("fields that change no number are ignored, known to us or not", () => {
    const change = { _name_or_path: "x", dropout: 0.5, time_cond_proj_dim: null };
    const path = "two-level:unet/config.json";
    expect(readUnetConfig(file(path, change))).toEqual(readUnetConfig(file(path)));
  });
});

describe("vae", () => {
  test("an empty file gives the reference's defaults", () => {
    expect(readVaeConfig({})).toEqual({
      in_channels: 3,
      out_channels: 3,
      down_block_types: ["DownEncoderBlock2D"],
      block_out_channels: [64],
      layers_per_block: 1,
      latent_channels: 4,
      sample_size: 32,
      scaling_factor: 0.18215,
      force_upcast: true,
    });
  });

  const refused: [change: Record<string, unknown>, problem: RegExp][] = [
    [{ _class_name: "AutoencoderKL" }, /_class_name: must be AutoencoderKLTemporalDecoder/],
    [{ block_out_channels: [32, 33] }, /block_out_channels\[1\]: 33 is no multiple/],
    [{ block_out_channels: [32] }, /down_block_types: has 2 entries for 1 levels/],
    [{ down_block_types: ["DownBlock2D", "DownBlock2D"] }, /down_block_types\[0\]/],
    [{ scaling_factor: 0 }, /scaling_factor: must not be 0/],
    [{ layers_per_block: [1, 1] }, /layers_per_block/],
  ];
  test.each(refused)("%j is refused by name", (change, problem) => {
    const problems = problemsOf(() => readVaeConfig(file("two-level:vae/config.json", change)));
    expect(problems.join("\n")).toMatch(problem);
  });
});

describe("image encoder", () => {
  test("an empty file gives the reference's defaults", () => {
    expect(readImageEncoderConfig({})).toMatchObject({
      hidden_size: 768,
      intermediate_size: 3072,
      projection_dim: 512,
      num_hidden_layers: 12,
      num_attention_heads: 12,
      num_channels: 3,
      image_size: 224,
      patch_size: 32,
      hidden_act: "quick_gelu",
      layer_norm_eps: 1e-5,
    });
  });

  test("sides may be written as pairs", () => {
    const config = readImageEncoderConfig({ image_size: [224, 224], patch_size: [16, 16] });
    expect([config.image_size, config.patch_size]).toEqual([224, 16]);
  });

  const refused: [change: Record<string, unknown>, problem: RegExp][] = [
    [{ architectures: ["CLIPModel"] }, /architectures: must name CLIPVisionModelWithProjection/],
    [{ model_type: "siglip_vision_model" }, /model_type: must be clip_vision_model/],
    [{ hidden_act: "relu" }, /hidden_act: .*gelu.*quick_gelu.*"relu"/],
    [{ num_attention_heads: 5 }, /num_attention_heads: 5 does not divide hidden_size 32/],
    [{ patch_size: 225 }, /patch_size: 225 is above image_size 224/],
    [{ image_size: [224, 112] }, /image_size: must be square/],
    [{ layer_norm_eps: 0 }, /layer_norm_eps/],
    [{ pruned_heads: { "0": [1] } }, /pruned_heads.*not supported/],
  ];
  test.each(refused)("%j is refused by name", (change, problem) => {
    const json = file("two-level:image_encoder/config.json", change);
    expect(problemsOf(() => readImageEncoderConfig(json)).join("\n")).toMatch(problem);
  });
});

describe("scheduler", () => {
  test("null flags are false, as the reference takes them", () => {
    const json = { use_karras_sigmas: null, use_beta_sigmas: null, sigma_min: null };
    expect(readSchedulerConfig(json)).toEqual(readSchedulerConfig({}));
  });

  const refused: [change: Record<string, unknown>, problem: RegExp][] = [
    [{ _class_name: "DDIMScheduler" }, /_class_name: must be EulerDiscreteScheduler.*DDIM/],
    [{ beta_schedule: "cosine" }, /beta_schedule: .*scaled_linear.*"cosine"/],
    [{ use_exponential_sigmas: true }, /use_exponential_sigmas: .*use_karras_sigmas/],
    [{ num_train_timesteps: 1 }, /num_train_timesteps/],
    [{ sigma_max: -1 }, /sigma_max/],
    [{ trained_betas: ["a"] }, /trained_betas\[0\]/],
  ];
  test.each(refused)("%j is refused by name", (change, problem) => {
    const json = file("two-level:scheduler/scheduler_config.json", change);
    expect(problemsOf(() => readSchedulerConfig(json)).join("\n")).toMatch(problem);
  });
});

describe("feature extractor", () => {
  const sizes: [written: unknown, size: object, cropSize: object][] = [
    [224, { shortest_edge: 224 }, { height: 224, width: 224 }],
    [{ shortest_edge: 100 }, { shortest_edge: 100 }, { shortest_edge: 100 }],
    [
      { height: 10, width: 20 },
      { height: 10, width: 20 },
      { height: 10, width: 20 },
    ],
    [[10, 20], { height: 10, width: 20 }, { height: 10, width: 20 }],
  ];
  test.each(sizes)("a size written as %j is read", (written, size, cropSize) => {
    const config = readFeatureExtractorConfig({ size: written, crop_size: written });
    expect(config).toMatchObject({ size, crop_size: cropSize });
  });

  test("mean and std default to CLIP's, and one number stands for three", () => {
    expect(readFeatureExtractorConfig({ image_mean: 0.5 })).toMatchObject({
      image_mean: [0.5, 0.5, 0.5],
      image_std: [0.26862954, 0.26130258, 0.27577711],
    });
  });

  const refused: [change: Record<string, unknown>, problem: RegExp][] = [
    [{ image_processor_type: "ViTImageProcessor" }, /image_processor_type: must be CLIPImage/],
    [{ image_std: [0.1, 0, 0.1] }, /image_std\[1\]: .*>0 \(is 0\)/],
    [{ image_std: null }, /image_std: must be three numbers above 0, or one/],
    [{ image_mean: [0.1, 0.2] }, /image_mean: .*exactly 3/],
    [{ size: { longest_edge: 3 } }, /size: must be pixels/],
  ];
  test.each(refused)("%j is refused by name", (change, problem) => {
    expect(problemsOf(() => readFeatureExtractorConfig(change)).join("\n")).toMatch(problem);
  });
});

describe("model index", () => {
  test("every component that is missing or of another class is named", () => {
    const change = {
      unet: ["diffusers", "UNet2DConditionModel"],
      vae: ["my_code", "AutoencoderKLTemporalDecoder"],
      scheduler: ["diffusers", "DDIMScheduler"],
      image_encoder: [null, null],
      feature_extractor: undefined,
    };
    const fields = problemsOf(() => readModelIndex(file("two-level:model_index.json", change)));
    expect([...new Set(fields.map((f) => f.replace(/(\[\d\])?: must.*/, "")))]).toEqual([
      "model_index.json: unet",
      "model_index.json: vae",
      "model_index.json: image_encoder",
      "model_index.json: scheduler",
      "model_index.json: feature_extractor",
    ]);
    expect(fields.join("\n")).toMatch(
      /scheduler.*must be \["diffusers", "EulerDiscreteScheduler"\]/,
    );
  });

  test("another pipeline is refused", () => {
    const json = file("two-level:model_index.json", { _class_name: "StableDiffusionPipeline" });
    expect(problemsOf(() => readModelIndex(json))).toEqual([
      expect.stringMatching(/no other pipeline/),
    ]);
  });
});

describe("the components of one checkpoint", () => {
  const read = (changes: Partial<Record<keyof CheckpointConfigs, object>>): CheckpointConfigs => {
    const of = (path: string, name: keyof CheckpointConfigs) =>
      file(`two-level:${name}/${path}`, changes[name]);
    return {
      unet: readUnetConfig(of("config.json", "unet")),
      vae: readVaeConfig(of("config.json", "vae")),
      image_encoder: readImageEncoderConfig(of("config.json", "image_encoder")),
      scheduler: readSchedulerConfig(of("scheduler_config.json", "scheduler")),
      feature_extractor: readFeatureExtractorConfig(
        of("preprocessor_config.json", "feature_extractor"),
      ),
    };
  };

  test("fit as the reference saved them", () => {
    expect(() => checkComponentsFit(read({}))).not.toThrow();
  });

  test("a cross attention width that no attention reads does not have to fit", () => {
    const unet = {
      down_block_types: ["DownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
      up_block_types: ["UpBlockSpatioTemporal", "UpBlockSpatioTemporal"],
      cross_attention_dim: [7, 32],
    };
    expect(() => checkComponentsFit(read({ unet }))).not.toThrow();
  });

  const misfits: [changes: Partial<Record<keyof CheckpointConfigs, object>>, problems: RegExp[]][] =
    [
      [
        { vae: { latent_channels: 8 } },
        [/unet.*in_channels: is 8, must be 16/, /unet.*out_channels: is 4/],
      ],
      [
        { vae: { in_channels: 4, out_channels: 1 } },
        [/vae.*in_channels: is 4/, /vae.*out_channels: is 1/],
      ],
      [
        { unet: { projection_class_embeddings_input_dim: 64 } },
        [
          /projection_class_embeddings_input_dim: is 64, must be 96: .*fps, motion_bucket_id, noise_aug/,
        ],
      ],
      [
        { image_encoder: { projection_dim: 16 } },
        [/cross_attention_dim\[0\]: is 32, must be 16/, /cross_attention_dim\[1\]: is 32/],
      ],
      [{ image_encoder: { image_size: 336 } }, [/image_size: is 336, must be 224/]],
      [{ image_encoder: { num_channels: 1 } }, [/num_channels: is 1, must be 3/]],
    ];
  test.each(misfits)("%j does not fit", (changes, problems) => {
    expect(problemsOf(() => checkComponentsFit(read(changes)))).toEqual(
      problems.map((problem) => expect.stringMatching(problem) as unknown),
    );
  });
});
