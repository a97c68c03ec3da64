/** @file Opens a checkpoint folder: every config read, every parameter placed, every problem named. */
import { assert } from "../../shared/core/assert.js";
import type { Violation } from "../../shared/core/errors.js";
import {
  collectProblems,
  collectProblemsAsync,
  refuseCheckpoint,
} from "../model/checkpoint-problems.js";
import { type CheckpointConfigs, checkComponentsFit } from "../model/configs/components-fit.js";
import { readFeatureExtractorConfig } from "../model/configs/feature-extractor-config.js";
import { readImageEncoderConfig } from "../model/configs/image-encoder-config.js";
import { readModelIndex } from "../model/configs/model-index.js";
import { readSchedulerConfig } from "../model/configs/scheduler-config.js";
import { readUnetConfig } from "../model/configs/unet-config.js";
import { readVaeConfig } from "../model/configs/vae-config.js";
import {
  type CheckpointFile,
  needFile,
  problem,
  readJson,
  resolveRoot,
} from "./checkpoint-files.js";
import {
  type ComponentName,
  type ComponentWeights,
  readComponentWeights,
  type Variant,
} from "./component-weights.js";

/** A diffusers folder of Stable Video Diffusion, checked; its parameters stay on disk. */
export interface Checkpoint {
  /** Real, absolute. */
  readonly root: string;
  /** "fp16" when any component is stored so. */
  readonly variant: Variant;
  readonly configs: CheckpointConfigs;
  readonly components: Readonly<Record<ComponentName, ComponentWeights>>;
  /** Every file that was used, configs included: what the digest covers. */
  readonly files: readonly CheckpointFile[];
}

export interface OpenCheckpointOptions {
  /**
   * Which files of a component to take. "auto": those without a variant, else fp16. "fp32": only
   * those without. "fp16": the fp16 ones; a component without takes the others, as in diffusers.
   * Default: "auto".
   */
  readonly variant?: "auto" | Variant;
}

const PREFERENCE = {
  auto: ["fp32", "fp16"],
  fp32: ["fp32"],
  fp16: ["fp16", "fp32"],
} as const satisfies Record<string, readonly Variant[]>;

/** The reference's configs have 1 KB; much more is not one. */
const CONFIG_BYTES_MAX = 1024 * 1024;

/**
 * Opens a checkpoint folder as diffusers saves it: one file or shards a component, any of float32,
 * float16 and bfloat16, also inside a Hugging Face cache.
 *
 * Reads configs and safetensors headers only: milliseconds, whatever the size of the model.
 *
 * @throws FarmError "checkpoint-invalid" with every problem of the folder, each naming file and field or
 *   tensor
 */
export async function openCheckpoint(
  folder: string,
  options: OpenCheckpointOptions = {},
): Promise<Checkpoint> {
  const root = await resolveRoot(folder);
  const problems: Violation[] = [];
  const files: CheckpointFile[] = [];

  const config = async <T>(
    name: string,
    read: (json: unknown, name: string) => T,
  ): Promise<T | null> =>
    collectProblemsAsync(problems, async () => {
      const file = await needFile(root, name);
      files.push(file);
      return read(await readJson(file, CONFIG_BYTES_MAX), name);
    });
  await config("model_index.json", readModelIndex);
  const configs = {
    unet: await config("unet/config.json", readUnetConfig),
    vae: await config("vae/config.json", readVaeConfig),
    image_encoder: await config("image_encoder/config.json", readImageEncoderConfig),
    scheduler: await config("scheduler/scheduler_config.json", readSchedulerConfig),
    feature_extractor: await config(
      "feature_extractor/preprocessor_config.json",
      readFeatureExtractorConfig,
    ),
  };
  const components: Record<ComponentName, ComponentWeights | null> = {
    unet: null,
    vae: null,
    image_encoder: null,
  };
  const variants = PREFERENCE[options.variant ?? "auto"];
  for (const name of COMPONENTS) {
    const read = () => readComponentWeights(root, name, variants);
    components[name] = await collectProblemsAsync(problems, read);
    files.push(...(components[name]?.files ?? []));
  }

  if (isComplete(configs)) {
    const complete = configs;
    collectProblems(problems, () => checkComponentsFit(complete));
  }
  refuseCheckpoint(problems);
  assert(isComplete(configs) && isComplete(components), "a problem for each part that is missing");

  const isHalf = COMPONENTS.some((name) => components[name].variant === "fp16");
  if (options.variant === "fp16" && !isHalf) {
    throw problem(folder, "has no fp16 files; leave the variant out to take those that are there");
  }
  return { root: root.path, variant: isHalf ? "fp16" : "fp32", configs, components, files };
}

const COMPONENTS = ["unet", "vae", "image_encoder"] as const satisfies readonly ComponentName[];

function isComplete<T extends object>(
  parts: T,
): parts is T & { [K in keyof T]: NonNullable<T[K]> } {
  return Object.values(parts).every((part) => part !== null);
}
