/**
 * @file What happens to the latents around each run of the UNet.
 *
 * Every operation rounds to float32 where torch rounds, in torch's order: two machines that get the
 * same halves compute the same bytes. They are the reference's bytes but for the last bit of square
 * roots, which torch's vector library rounds differently on different processors. With halves they
 * are rounded to float16 where the reference's tensors are.
 */
import { assert, assertNever } from "../../shared/core/assert.js";
import { roundToFloat16 } from "../../shared/tensor/float16.js";
import type { ComputeType } from "../../shared/tensor/tensor.js";
import type { PredictionType } from "./euler-config.js";
import { inputScale } from "./euler-discrete.js";

const { fround } = Math;

/**
 * The initial latents of a clip: noise times the scheduler's `init_noise_sigma`.
 *
 * @source diffusers pipeline_stable_video_diffusion.py, prepare_latents
 */
export function scaleInitialNoise(noise: Float32Array, initNoiseSigma: number): Float32Array {
  const factor = fround(initNoiseSigma);
  return noise.map((value) => value * factor);
}

/**
 * The UNet's view of the latents: divided by sqrt(sigma² + 1).
 *
 * @param out receives the result, may be `latents` itself
 * @source diffusers schedulers/scheduling_euler_discrete.py, scale_model_input
 */
export function scaleModelInput(
  latents: Float32Array,
  sigma: number,
  out: Float32Array,
  dtype: ComputeType,
): void {
  assert(out.length === latents.length, `${latents.length} values of room, not ${out.length}`);
  const divisor = inputScale(sigma);
  for (let i = 0; i < latents.length; i++) out[i] = latents[i]! / divisor;
  narrow(out, dtype);
}

export interface EulerStep {
  /** The model's output, as long as `latents`. */
  readonly modelOutput: Float32Array;
  readonly latents: Float32Array;
  readonly sigma: number;
  readonly sigmaNext: number;
  readonly predictionType: PredictionType;
  /** What the tensors hold: a step is computed in float32 and its result rounded to this. */
  readonly dtype: ComputeType;
  /** Receives the latents after the step; may be `latents` itself. */
  readonly out: Float32Array;
}

/**
 * One Euler step without guidance: latents of noise level sigma to latents of sigmaNext.
 *
 * @source diffusers schedulers/scheduling_euler_discrete.py, step (s_churn = 0)
 */
export function eulerStep(step: EulerStep): void {
  const { modelOutput, latents, out } = step;
  assert(modelOutput.length === latents.length, "as many model outputs as latents");
  assert(out.length === latents.length, "as much room as latents");
  const factor = outputFactor(step);
  const scaled = factor === null ? modelOutput : modelOutput.slice();
  if (factor !== null) scaleValues(scaled, factor, step.dtype);
  updateValues(step, latents, scaled, out);
  narrow(out, step.dtype);
}

export interface GuidedStep {
  /** The model's outputs without and with the picture, [frames, C, h, w]. */
  readonly uncond: Float32Array;
  readonly cond: Float32Array;
  /** [frames, C, h, w]. */
  readonly latents: Float32Array;
  readonly frames: number;
  /** The guidance scale of each frame [frames]. */
  readonly guidance: Float32Array;
  readonly sigma: number;
  readonly sigmaNext: number;
  readonly predictionType: PredictionType;
  /** What the tensors hold: a step is computed in float32 and its result rounded to this. */
  readonly dtype: ComputeType;
  /** Receives the latents after the step; may be `latents` itself. */
  readonly out: Float32Array;
}

/**
 * Per-frame guidance, then the Euler step, in one pass over the latents.
 *
 * @source diffusers pipeline_stable_video_diffusion.py, __call__ (perform guidance), then `eulerStep`
 */
export function guideAndStep(step: GuidedStep): void {
  const { uncond, cond, latents, frames, guidance, out } = step;
  const frameLength = latents.length / frames;
  assert(
    Number.isInteger(frameLength),
    `latents of ${frames} frames, not ${latents.length} values`,
  );
  assert(guidance.length === frames, `${frames} guidance scales, not ${guidance.length}`);
  for (const buffer of [uncond, cond, out]) {
    assert(buffer.length === latents.length, `${latents.length} values, not ${buffer.length}`);
  }

  const guide = step.dtype === "float16" ? guideFrameFloat16 : guideFrame;
  // Whatever is multiplied with 1 stays the same bits.
  const factor = outputFactor(step) ?? 1;
  const scaled = new Float32Array(frameLength);
  for (let frame = 0; frame < frames; frame++) {
    const start = frame * frameLength;
    const end = start + frameLength;
    const halves = [uncond.subarray(start, end), cond.subarray(start, end)] as const;
    guide(...halves, guidance[frame]!, factor, scaled);
    updateValues(step, latents.subarray(start, end), scaled, out.subarray(start, end));
  }
  narrow(out, step.dtype);
}

/**
 * The guided output of one frame, times the factor that the step begins with. A function of its own,
 * since what is called once a step stays uncompiled for half a clip.
 */
function guideFrame(
  uncond: Float32Array,
  cond: Float32Array,
  scale: number,
  factor: number,
  out: Float32Array,
): void {
  for (let i = 0; i < out.length; i++) {
    const base = uncond[i]!;
    out[i] = fround(base + fround(scale * fround(cond[i]! - base))) * factor;
  }
}

/** The same rounded to float16 after every operation, as tensors of halves are. */
function guideFrameFloat16(
  uncond: Float32Array,
  cond: Float32Array,
  scale: number,
  factor: number,
  out: Float32Array,
): void {
  for (let i = 0; i < out.length; i++) out[i] = cond[i]! - uncond[i]!;
  roundToFloat16(out);
  scaleValues(out, scale, "float16");
  for (let i = 0; i < out.length; i++) out[i] = uncond[i]! + out[i]!;
  roundToFloat16(out);
  scaleValues(out, factor, "float16");
}

type Noise = Pick<EulerStep, "sigma" | "sigmaNext" | "predictionType">;

/**
 * What the model's output is multiplied with before anything is added to it; null: with nothing.
 *
 * @source diffusers schedulers/scheduling_euler_discrete.py, step (2. compute original sample)
 */
function outputFactor({ predictionType, ...noise }: Noise): number | null {
  const sigma = fround(noise.sigma);
  switch (predictionType) {
    case "epsilon":
      return sigma;
    case "sample":
    case "original_sample":
      return null;
    case "v_prediction":
      return fround(-sigma / fround(Math.sqrt(varianceOf(sigma))));
    default:
      return assertNever(predictionType);
  }
}

function varianceOf(sigma: number): number {
  return fround(fround(sigma * sigma) + 1);
}

/**
 * The Euler update itself. One plain loop a prediction type: a function called for every value takes
 * ten times as long.
 *
 * @param scaled the model's output times `outputFactor`
 */
function updateValues(
  noise: Noise,
  latents: Float32Array,
  scaled: Float32Array,
  out: Float32Array,
): void {
  const sigma = fround(noise.sigma);
  const delta = fround(fround(noise.sigmaNext) - sigma);
  const count = latents.length;
  switch (noise.predictionType) {
    case "epsilon":
      for (let i = 0; i < count; i++) {
        const x = latents[i]!;
        const original = fround(x - scaled[i]!);
        out[i] = x + fround(fround(fround(x - original) / sigma) * delta);
      }
      return;
    case "sample":
    case "original_sample":
      for (let i = 0; i < count; i++) {
        const x = latents[i]!;
        out[i] = x + fround(fround(fround(x - scaled[i]!) / sigma) * delta);
      }
      return;
    case "v_prediction": {
      const variance = varianceOf(sigma);
      for (let i = 0; i < count; i++) {
        const x = latents[i]!;
        const original = fround(scaled[i]! + fround(x / variance));
        out[i] = x + fround(fround(fround(x - original) / sigma) * delta);
      }
      return;
    }
    default:
      assertNever(noise.predictionType);
  }
}

/** Multiplies in place. */
function scaleValues(values: Float32Array, factor: number, dtype: ComputeType): void {
  for (let i = 0; i < values.length; i++) values[i] = values[i]! * factor;
  narrow(values, dtype);
}

/** Rounds in place to what a tensor of this type holds. */
function narrow(values: Float32Array, dtype: ComputeType): void {
  if (dtype === "float16") roundToFloat16(values);
}
