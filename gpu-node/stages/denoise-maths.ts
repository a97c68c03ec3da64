/**
 * @file The latents of one clip while they are denoised: what the UNet is asked, what its answers do.
 *
 * Both nodes of a pair hold such a replica and feed it the same two answers a step, so their latents
 * stay the same bytes; `digest` lets them make sure.
 */
import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { assert } from "../../shared/core/assert.js";
import { FarmError } from "../../shared/core/errors.js";
import { type ClipParameters, isGuided } from "../../shared/farm/parameters.js";
import type { GuidanceHalf } from "../../shared/farm/work.js";
import { roundToFloat16 } from "../../shared/tensor/float16.js";
import { type ComputeType, elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import {
  type EulerDiscreteConfig,
  planSteps,
  type StepRequest,
  type StepTable,
} from "../diffusion/euler-discrete.js";
import { eulerStep, guideAndStep, scaleModelInput } from "../diffusion/euler-step.js";
import { guidanceScales } from "../diffusion/guidance.js";
import { addedTimeIds } from "../diffusion/time-ids.js";
import type { GraphSpec } from "../runtime/runtime.js";
import type { Conditioning } from "./tensor-blobs.js";

/** Latents in the middle of a clip, from a step checkpoint or from another replica. */
export interface ReplicaState {
  /** Steps done. */
  readonly step: number;
  /** [F, C, h, w]. */
  readonly latents: Tensor;
  /** Of a clip that caches features; absent: the next step runs the whole UNet. */
  readonly whole?: WholeStep | null;
}

/** The last step that ran the whole UNet: what its features can be made from again. */
export interface WholeStep {
  readonly step: number;
  /** That went into it [F, C, h, w]. */
  readonly latents: Tensor;
}

export interface DenoiseReplica {
  /** Steps done so far; also the index of the step that comes next. */
  readonly step: number;
  readonly stepCount: number;
  readonly table: StepTable;
  /** Halves that a step consists of. */
  readonly halves: readonly GuidanceHalf[];
  /** The UNet of this clip. */
  readonly graph: GraphSpec & { readonly module: "unet" };
  /** [F, C, h, w] after `step` steps. They are replaced, not changed, by the next step. */
  readonly latents: Tensor;
  /** All that another replica has to know to go on from here. */
  readonly state: ReplicaState;
  /**
   * The step whose features the next step reuses; null where it runs the whole UNet itself. With
   * `cacheInterval` n a step is whole when n steps were made since the last one that was, or when
   * nothing is known of one.
   */
  readonly featureStep: number | null;
  /** Whether whole steps have features that a later step reuses. */
  readonly cachesFeatures: boolean;
  /**
   * The UNet's inputs for one half of the next step; good until that half of the step after it.
   *
   * @param of "feature-step": those of `featureStep`
   */
  unetInputs(half: GuidanceHalf, of?: "next-step" | "feature-step"): Record<string, Tensor>;
  /**
   * Makes the next step.
   *
   * @param uncond the UNet's answers [1, F, C, h, w] or [F, C, h, w]; null exactly when the clip
   *   has no guidance
   */
  apply(uncond: Tensor | null, cond: Tensor): void;
  /** Hex sha256 of the latents' bytes. */
  digest(): string;
}

/** What `planSteps` is asked for a clip. */
export function stepRequest(
  parameters: Pick<ClipParameters, "numInferenceSteps" | "sigmas">,
): StepRequest {
  const { sigmas, numInferenceSteps } = parameters;
  if (sigmas !== null) return { sigmas };
  assert(numInferenceSteps !== null, "either sigmas or a number of steps");
  return { numInferenceSteps };
}

/** What is hashed in one turn of the event loop: a fifth of a millisecond. */
const TURN_BYTES = 256 * 1024;

/** Hex sha256 of the values' bytes. */
export function latentsDigest({ data }: Tensor): string {
  return createHash("sha256").update(bytesOf(data)).digest("hex");
}

/**
 * The same, a piece a turn of the event loop: what is to be sent and read goes on between them, and
 * what is ready now comes before the first.
 *
 * @param latents must not change before the promise resolves
 */
export async function latentsDigestInTurns({ data }: Tensor): Promise<string> {
  const hash = createHash("sha256");
  const bytes = bytesOf(data);
  for (let at = 0; at < bytes.length; at += TURN_BYTES) {
    await nextTurn();
    hash.update(bytes.subarray(at, at + TURN_BYTES));
  }
  return hash.digest("hex");
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * A replica at the beginning of a clip, or at `from`.
 *
 * @param from latents of the initial ones' shape, after a step of the clip
 * @param dtype of the reference's tensors: with float16 what goes in and the latents after each step
 *   are rounded to it, wherever they come from
 * @throws FarmError "blob-corrupt" when the conditioning does not fit the parameters, or `from` not
 *   the conditioning; "invalid-argument" when the clip has fewer steps than `from` has made
 */
export function createReplica(
  conditioning: Conditioning,
  parameters: ClipParameters,
  config: EulerDiscreteConfig,
  from: ReplicaState = { step: 0, latents: conditioning.initialLatents },
  dtype: ComputeType = "float32",
): DenoiseReplica {
  const { shape } = conditioning.initialLatents;
  refuseMisfits(conditioning, parameters);
  const table = planSteps(config, stepRequest(parameters));
  const stepCount = table.timesteps.length;
  refuseMisplaced(from, stepCount, shape);

  const guided = isGuided(parameters);
  const unet = unetInputBuilder(conditioning, parameters, dtype);
  const { numFrames: frames } = parameters;
  const guidance = rounded(guidanceScales(parameters), dtype);
  let { step } = from;
  let latents: Tensor = { shape, data: rounded(from.latents.data, dtype) };
  const { cacheInterval } = parameters;
  let whole = cacheInterval > 1 && from.whole ? from.whole : null;
  const featureStep = () =>
    whole !== null && step - whole.step < cacheInterval ? whole.step : null;

  return {
    get step() {
      return step;
    },
    get latents() {
      return latents;
    },
    stepCount,
    table,
    halves: guided ? ["uncond", "cond"] : ["cond"],
    graph: { module: "unet", frames, height: shape[2]!, width: shape[3]! },
    get state() {
      const isNeeded = featureStep() !== null && step < stepCount;
      return { step, latents, whole: isNeeded ? whole : null };
    },
    get featureStep() {
      return featureStep();
    },
    cachesFeatures: cacheInterval > 1,
    unetInputs(half, of = "next-step") {
      assert(step < stepCount, `a step of ${stepCount}, not step ${step}`);
      assert(guided || half === "cond", "no unconditional half without guidance");
      const at = of === "next-step" ? { step, latents } : whole;
      assert(at !== null, "a step before this one that ran the whole UNet");
      return unet(at.latents, table.sigmas[at.step]!, table.timesteps[at.step]!, half);
    },
    apply(uncond, cond) {
      assert(step < stepCount, `a step of ${stepCount}, not step ${step}`);
      assert((uncond !== null) === guided, "both halves with guidance, one without");
      const out = new Float32Array(latents.data.length);
      const noise = {
        latents: latents.data,
        sigma: table.sigmas[step]!,
        sigmaNext: table.sigmas[step + 1]!,
        predictionType: config.prediction_type,
        dtype,
        out,
      };
      if (uncond === null) eulerStep({ ...noise, modelOutput: cond.data });
      else guideAndStep({ ...noise, uncond: uncond.data, cond: cond.data, frames, guidance });
      if (cacheInterval > 1 && featureStep() === null) whole = { step, latents };
      latents = { shape, data: out };
      step += 1;
    },
    digest: () => latentsDigest(latents),
  };
}

/**
 * Makes the UNet's inputs; what is the same in every step is made once.
 *
 * @source diffusers pipeline_stable_video_diffusion.py, __call__ (9. Denoising loop)
 */
function unetInputBuilder(
  conditioning: Conditioning,
  parameters: ClipParameters,
  dtype: ComputeType,
) {
  const { initialLatents } = conditioning;
  const inType = ({ shape, data }: Tensor): Tensor => tensor(shape, rounded(data, dtype));
  const imageEmbedding = inType(conditioning.imageEmbedding);
  const imageLatents = inType(conditioning.imageLatents);
  const [frames, channels, height, width] = initialLatents.shape as [
    number,
    number,
    number,
    number,
  ];
  const cells = height * width;
  const imageChannels = imageLatents.shape[0]!;
  const zeroEmbedding = tensor(imageEmbedding.shape, new Float32Array(imageEmbedding.data.length));
  const timeIds = inType(tensor([1, 3], addedTimeIds(parameters)));

  // [F, C, h, w] and [C', h, w] side by side in every frame; without the picture it stays zero. Only
  // the former changes: made anew for every half, the inputs would be most of a node's garbage.
  const own = channels * cells;
  const perFrame = own + imageChannels * cells;
  const samples = { uncond: new Float32Array(0), cond: new Float32Array(0) };
  const sampleOf = (half: GuidanceHalf): Float32Array => {
    if (samples[half].length > 0) return samples[half];
    const sample = new Float32Array(frames * perFrame);
    for (let frame = 0; frame < frames && half === "cond"; frame++) {
      sample.set(imageLatents.data, frame * perFrame + own);
    }
    samples[half] = sample;
    return sample;
  };

  return (latents: Tensor, sigma: number, timestep: number, half: GuidanceHalf) => {
    const sample = sampleOf(half);
    for (let frame = 0; frame < frames; frame++) {
      const from = latents.data.subarray(frame * own, (frame + 1) * own);
      const at = frame * perFrame;
      scaleModelInput(from, sigma, sample.subarray(at, at + own), dtype);
    }
    return {
      sample: tensor([1, frames, channels + imageChannels, height, width], sample),
      timestep: tensor([1], Float32Array.of(timestep)),
      encoder_hidden_states: half === "cond" ? imageEmbedding : zeroEmbedding,
      added_time_ids: timeIds,
    };
  };
}

/** The values as a tensor of this type holds them; a copy where that changes them. */
function rounded(values: Float32Array, dtype: ComputeType): Float32Array {
  if (dtype === "float32") return values;
  const copy = values.slice();
  roundToFloat16(copy);
  return copy;
}

function refuseMisplaced(from: ReplicaState, stepCount: number, shape: readonly number[]): void {
  if (!Number.isSafeInteger(from.step) || from.step < 0 || from.step > stepCount) {
    const detail = `step ${from.step} is none of 0..${stepCount} that a clip of ${stepCount} steps can go on from`;
    throw new FarmError("invalid-argument", detail);
  }
  if (from.latents.shape.join() === shape.join()) return;
  const [found, wanted] = [from.latents.shape, shape].map((s) => `[${s.join(", ")}]`);
  throw new FarmError("blob-corrupt", `latents of step ${from.step} are ${found}, not ${wanted}`);
}

function refuseMisfits(conditioning: Conditioning, parameters: ClipParameters): void {
  const { imageEmbedding, imageLatents, initialLatents } = conditioning;
  const [frames, , height, width] = initialLatents.shape;
  const fits =
    frames === parameters.numFrames &&
    imageLatents.shape.slice(1).join() === `${height},${width}` &&
    elementCount(imageEmbedding.shape) === imageEmbedding.shape.at(-1);
  if (fits) return;
  const shapes = [imageEmbedding, imageLatents, initialLatents].map(
    (t) => `[${t.shape.join(", ")}]`,
  );
  throw new FarmError(
    "blob-corrupt",
    `conditioning of ${shapes.join(", ")} does not fit ${parameters.numFrames} frames`,
  );
}
