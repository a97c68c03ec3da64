/** @file What the pipeline is called with, checked as a farm checks it, and what it answers. */
import { randomBytes } from "node:crypto";
import type { RgbPicture } from "../gpu-node/diffusion/rgb-picture.js";
import { didYouMean } from "../shared/core/closest-name.js";
import { refuseViolations, type Violation } from "../shared/core/errors.js";
import type { GuidanceKind } from "../shared/farm/guidance.js";
import type { JobParameters, Seeds } from "../shared/farm/parameters.js";
import type { Preset } from "../shared/farm/request-looks.js";
import {
  latentsShapeProblem,
  type RawParameters,
  resolveParameters,
} from "../shared/farm/validate-request.js";
import type { ModelInfo } from "../shared/farm/work.js";
import type { Tensor } from "../shared/tensor/tensor.js";

/** The path of a png, jpeg or webp file, such a file's bytes, or pixels. */
export type PictureSource = string | URL | Uint8Array | RgbPicture;

/** rgb: 8-bit pictures, as diffusers' "pil"; np: float32 in 0..1; latent: what is not decoded. */
export type OutputType = "rgb" | "np" | "latent";

/** One clip's frames: pictures; [frames, height, width, 3]; or latents [frames, C, h, w]. */
export type FramesOf<T extends OutputType> = T extends "rgb" ? readonly RgbPicture[] : Tensor;

/** What a step of one clip has left. */
export interface StepEnd {
  /** Of the batch, from 0; clips are made one after the other. */
  readonly clipIndex: number;
  /** [frames, C, h, w]; not to be changed in place: answer with others. */
  readonly latents: Tensor;
}

/** Parameters of one call; absent ones have diffusers' defaults or the checkpoint's. */
export interface CallOptions<T extends OutputType = OutputType>
  extends Partial<
    Pick<
      JobParameters,
      | "height"
      | "width"
      | "numFrames"
      | "numInferenceSteps"
      | "minGuidanceScale"
      | "maxGuidanceScale"
      | "fps"
      | "motionBucketId"
      | "noiseAugStrength"
      | "decodeChunkSize"
      | "cacheInterval"
      | "numVideosPerPrompt"
      | "fit"
    >
  > {
  /** Falling noise levels in place of steps, or "align-your-steps". */
  readonly sigmas?: readonly number[] | string;
  /** The scales between the two: linear (diffusers'), triangle, constant, or one a frame. */
  readonly guidance?: Exclude<GuidanceKind, "frames"> | readonly number[];
  /** Defaults of a published checkpoint in place of this one's. */
  readonly preset?: Preset;
  /** A seed for the whole batch, or one a clip; absent: one is drawn and reported. */
  readonly generator?: number | bigint | readonly (number | bigint)[];
  /** Initial noise before scaling [clips, frames, C, h, w]. */
  readonly latents?: Tensor;
  /** Default: rgb. */
  readonly outputType?: T;
  /**
   * Called after every step of every clip; other latents in the answer take the place of the step's.
   *
   * @param step     from 0
   * @param timestep what the UNet was told
   */
  readonly callbackOnStepEnd?: (
    step: number,
    timestep: number,
    end: StepEnd,
  ) => StepEndAnswer | Promise<StepEndAnswer>;
  /** Stops between two runs of the model; the call then throws FarmError "cancelled". */
  readonly signal?: AbortSignal;
}

/** Nothing, or the latents to go on with. */
export type StepEndAnswer = { readonly latents: Tensor } | undefined;

export interface CallResult<T extends OutputType> {
  /** One entry a clip, in the order of pictures and, within a picture, of its videos. */
  readonly frames: readonly FramesOf<T>[];
  /** What made the noise: the same seeds make the same clips. */
  readonly seeds: Seeds;
  /** Every default filled in. */
  readonly parameters: JobParameters;
}

/** Names of `CallOptions`; the compiler finds the list incomplete when one is missing. */
const OPTION_NAMES = Object.keys({
  height: 0,
  width: 0,
  numFrames: 0,
  numInferenceSteps: 0,
  sigmas: 0,
  minGuidanceScale: 0,
  maxGuidanceScale: 0,
  fps: 0,
  motionBucketId: 0,
  noiseAugStrength: 0,
  decodeChunkSize: 0,
  cacheInterval: 0,
  numVideosPerPrompt: 0,
  fit: 0,
  guidance: 0,
  preset: 0,
  generator: 0,
  latents: 0,
  outputType: 0,
  callbackOnStepEnd: 0,
  signal: 0,
} satisfies Record<keyof Required<CallOptions>, 0>);

const OUTPUT_TYPES: readonly OutputType[] = ["rgb", "np", "latent"];

/**
 * Checks everything a call says, before any work.
 *
 * @throws FarmError "invalid-argument" with every mistake at once
 */
export function checkCall(
  options: CallOptions,
  imageCount: number,
  model: ModelInfo,
): JobParameters {
  const { generator, latents, outputType, callbackOnStepEnd: _c, signal: _s, ...rest } = options;
  const { guidance, ...raw } = rest;
  const violations: Violation[] = Object.keys(options)
    .filter((name) => !OPTION_NAMES.includes(name))
    .map((name) => ({
      field: name,
      description: `is no parameter${didYouMean(name, OPTION_NAMES)}`,
    }));
  if (outputType !== undefined && !OUTPUT_TYPES.includes(outputType)) {
    const description = `'${String(outputType)}' is unknown; legal are ${OUTPUT_TYPES.join(", ")}`;
    violations.push({ field: "outputType", description });
  }
  const resolved = resolveParameters(
    { ...raw, ...seedsOf(generator), ...guidanceOf(guidance) } as RawParameters,
    {
      ...{ model, imageCount, hasFfmpeg: true, spell: optionName },
      drawnSeed: randomBytes(6).readUIntBE(0, 6),
    },
  );
  if ("violations" in resolved) violations.push(...resolved.violations);
  else if (latents) {
    const { parameters } = resolved;
    const clipCount = imageCount * parameters.numVideosPerPrompt;
    const problem = latentsShapeProblem(latents.shape, { parameters, clipCount, model });
    if (problem !== null) violations.push({ field: "latents", description: problem });
  }
  refuseViolations(violations);
  return "parameters" in resolved ? resolved.parameters : resolved.assumed;
}

/** As texts, so that a number that is no seed is refused in the words of all other requests. */
function seedsOf(generator: CallOptions["generator"]): Pick<RawParameters, "seeds"> {
  if (generator === undefined) return {};
  return { seeds: [generator].flat().map(String).join(",") };
}

function guidanceOf(guidance: CallOptions["guidance"]): Pick<RawParameters, "guidance"> {
  if (guidance === undefined || typeof guidance === "string") return { guidance };
  return { guidance: { kind: "frames", scales: guidance } };
}

/** How a caller writes a field of the proto. */
function optionName(field: string): string {
  if (field === "seeds") return "generator";
  if (field === "images") return "image";
  return field.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}
