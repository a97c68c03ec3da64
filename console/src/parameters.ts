/**
 * @file The fields of the form: diffusers' names and defaults, and what each one does. Ranges are
 * not repeated here; the farm checks them and its words are shown at the field.
 */
import type { ModelJson, ParametersJson } from "./api/types.js";

export interface ParameterField {
  /** As diffusers writes it. */
  readonly name: string;
  /** As JSON writes it. */
  readonly json: keyof ParametersJson;
  readonly help: string;
  readonly group: "clip" | "motion" | "sampling" | "output";
  /** "list": numbers, separated by commas. */
  readonly kind: "whole" | "real" | "list";
  readonly step?: number;
  /** What an empty field means, for this checkpoint. */
  readonly placeholder: (model: ModelJson | undefined) => string;
}

/** Pixels; a checkpoint trained at this side or above is rendered at the reference's 576 x 1024. */
const SVD_SIDE_MIN = 768;

function trainedSide(model: ModelJson | undefined, ofSvd: number): string {
  const side = model ? model.sampleSize * model.vaeScaleFactor : 0;
  if (side === 0 || side >= SVD_SIDE_MIN) return String(ofSvd);
  return String(Math.ceil(side / 8) * 8);
}

const always = (text: string) => () => text;

export const PARAMETER_FIELDS: readonly ParameterField[] = [
  {
    ...{ name: "width", json: "width", group: "clip", kind: "whole", step: 8 },
    help: "Pixels, a multiple of 8. See fit for other proportions.",
    placeholder: (model) => trainedSide(model, 1024),
  },
  {
    ...{ name: "height", json: "height", group: "clip", kind: "whole", step: 8 },
    help: "Pixels, a multiple of 8.",
    placeholder: (model) => trainedSide(model, 576),
  },
  {
    ...{ name: "num_frames", json: "numFrames", group: "clip", kind: "whole" },
    help: "Frames of the clip; the checkpoint was trained for its own number.",
    placeholder: (model) => (model ? String(model.numFrames) : "25"),
  },
  {
    ...{ name: "fps", json: "fps", group: "clip", kind: "whole" },
    help: "Frames a second.",
    placeholder: always("7"),
  },
  {
    ...{ name: "motion_bucket_id", json: "motionBucketId", group: "motion", kind: "whole" },
    help: "More is more motion.",
    placeholder: always("127"),
  },
  {
    ...{ name: "noise_aug_strength", json: "noiseAugStrength", group: "motion", kind: "real" },
    help: "Noise added to the picture. More means more motion, and less like the picture.",
    placeholder: always("0.02"),
  },
  {
    ...{ name: "min_guidance_scale", json: "minGuidanceScale", group: "motion", kind: "real" },
    help: "Guidance of the first frame. How closely it keeps to the picture.",
    placeholder: always("1"),
  },
  {
    ...{ name: "max_guidance_scale", json: "maxGuidanceScale", group: "motion", kind: "real" },
    help: "Guidance of the last frame; above 1 every step is two halves.",
    placeholder: always("3"),
  },
  {
    ...{ name: "num_inference_steps", json: "numInferenceSteps", group: "sampling" },
    kind: "whole",
    help: "Denoising steps.",
    placeholder: always("25"),
  },
  {
    ...{ name: "sigmas", json: "sigmas", group: "sampling", kind: "list" },
    help: "Your own noise levels, falling, in place of steps: n values make n - 1 steps.",
    placeholder: always("the scheduler's"),
  },
  {
    ...{ name: "seed", json: "seeds", group: "sampling", kind: "list" },
    help: "Empty: drawn. A list: one a clip.",
    placeholder: always("drawn"),
  },
  {
    ...{ name: "cache_interval", json: "cacheInterval", group: "sampling", kind: "whole" },
    help: "Lossy: the whole UNet in every n-th step only. 1: the reference's clip.",
    placeholder: always("1"),
  },
  {
    ...{ name: "num_videos_per_prompt", json: "numVideosPerPrompt", group: "sampling" },
    kind: "whole",
    help: "Clips made from each picture.",
    placeholder: always("1"),
  },
  {
    ...{ name: "decode_chunk_size", json: "decodeChunkSize", group: "output", kind: "whole" },
    help: "Frames decoded at a time. Fewer: less memory, and more nodes decode at once.",
    placeholder: always("all frames"),
  },
];

export const FORMATS = ["mp4", "gif", "webp", "png", "safetensors"] as const;
export type Format = (typeof FORMATS)[number];

export const PAIRS = ["auto", "always", "never"] as const;
export type Pair = (typeof PAIRS)[number];

export const GUIDANCE_KINDS = ["linear", "triangle", "constant", "frames"] as const;

/** Choices of a request that are words: the first is what nothing chosen means. */
export const LOOKS = [
  {
    name: "guidance",
    prefix: "GUIDANCE_KIND",
    choices: GUIDANCE_KINDS,
    help: "How guidance runs between its two scales; triangle: the ends of a loop meet. One a frame: a list.",
  },
  {
    name: "fit",
    prefix: "FIT",
    choices: ["stretch", "crop", "pad"],
    help: "How a picture of other proportions is brought to the clip's size.",
  },
  {
    name: "preset",
    prefix: "PRESET",
    choices: ["", "svd", "svd-xt", "svd-xt-1.1"],
    help: "Defaults of a published checkpoint.",
  },
  {
    name: "schedule",
    prefix: "SCHEDULE",
    choices: ["default", "align-your-steps"],
    help: "Named noise levels; align-your-steps takes 10 steps in place of 25.",
  },
] as const;

export type LookName = (typeof LOOKS)[number]["name"];

/** "svd-xt-1.1" -> "PRESET_SVD_XT_1_1". */
export function lookOnWire(name: LookName, choice: string): string {
  const { prefix } = LOOKS.find((look) => look.name === name) ?? LOOKS[0];
  return `${prefix}_${choice.toUpperCase().replace(/[-.]/g, "_")}`;
}
