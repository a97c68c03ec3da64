/**
 * @file EulerDiscreteScheduler: the table of noise levels and timesteps of one clip.
 *
 * The table is made once, before any step; the steps themselves are in euler-step.ts.
 */
import { FarmError } from "../../shared/core/errors.js";
import type { StepRule } from "../../shared/farm/parameters.js";
import { type EulerDiscreteConfig, eulerConfigProblems } from "./euler-config.js";
import { linspaceF32 } from "./linspace.js";
import { betaSigmas, exponentialSigmas, karrasSigmas } from "./sigmas.js";
import { sigmaAtTimestep, spacedTimesteps, timestepForSigma } from "./timesteps.js";
import { trainingSigmas } from "./training-sigmas.js";

export type { EulerDiscreteConfig } from "./euler-config.js";
export { EULER_DISCRETE_DEFAULTS, eulerConfigProblems } from "./euler-config.js";

/** A number of steps, or the noise levels themselves: n levels make n - 1 steps. */
export type StepRequest =
  | { readonly numInferenceSteps: number }
  | { readonly sigmas: readonly number[] };

/** What every step of a clip needs to know; n is the number of steps. */
export interface StepTable {
  /** Noise levels [n + 1]: step i goes from sigmas[i] to sigmas[i + 1]. */
  readonly sigmas: Float32Array;
  /** What the UNet is told at each step [n]. */
  readonly timesteps: Float32Array;
  /** Standard deviation of the initial noise. */
  readonly initNoiseSigma: number;
}

/** Noise levels whose square still fits float32 with room to spare. */
const SIGMA_LIMIT = 1e9;

/** Why these custom noise levels cannot be stepped through; null when they can. */
export function customSigmasProblem(sigmas: readonly number[]): string | null {
  if (sigmas.length < 2) return `${sigmas.length} noise levels; at least 2 are needed for one step`;
  for (const [i, sigma] of sigmas.entries()) {
    const isLast = i === sigmas.length - 1;
    if (sigma >= 0 && sigma <= SIGMA_LIMIT && (isLast || Math.fround(sigma) > 0)) continue;
    const legal = isLast ? `0..${SIGMA_LIMIT}` : `0..${SIGMA_LIMIT}, above 0 before the last`;
    return `noise level ${i} is ${sigma}; legal is ${legal}`;
  }
  return null;
}

/**
 * The step table of a clip.
 *
 * The number of steps is the length of the table, which is not always the number asked for: the
 * reference makes one more with "log_linear" sigmas and continuous timesteps, and with "trailing"
 * spacing at a few counts (see spacedTimesteps).
 *
 * Two points where the reference does not reach: repeated first timesteps (a discrete schedule
 * whose noise levels exceed the training range) make it start at the second step and run off the
 * table, here every step is made; and with "log_linear" sigmas and discrete timesteps it appends a
 * level that no step uses, which is left out here.
 *
 * @param config of the checkpoint
 * @param request `numInferenceSteps`: an integer, at least 1
 * @throws FarmError "checkpoint-invalid" for a config without a usable schedule,
 *   "invalid-argument" for steps or sigmas that are not legal
 * @source diffusers schedulers/scheduling_euler_discrete.py, set_timesteps and init_noise_sigma
 */
export function planSteps(config: EulerDiscreteConfig, request: StepRequest): StepTable {
  refuseBadConfig(config);
  refuseBadRequest(request);
  const training = trainingSigmas(config);
  const logTraining = training.map(Math.log);

  const schedule =
    "sigmas" in request
      ? customSchedule(request.sigmas, logTraining)
      : ownSchedule(config, request.numInferenceSteps, training, logTraining);
  const timesteps = isContinuous(config)
    ? schedule.sigmas.slice(0, -1).map((sigma) => 0.25 * Math.fround(Math.log(sigma)))
    : schedule.timesteps;
  const sigmas = schedule.sigmas.slice(0, timesteps.length + 1);
  const table = { sigmas, timesteps, initNoiseSigma: initNoiseSigma(config, sigmas) };
  refuseUnusable(table);
  return table;
}

/**
 * How many steps `planSteps` makes of a number of them. Only sigmas that are respaced (karras,
 * exponential, beta) are always as many as were asked for.
 */
export function stepRuleOf(config: EulerDiscreteConfig): StepRule {
  if (respacing(config) !== null) return "as-asked";
  if (config.interpolation_type === "log_linear" && isContinuous(config)) return "one-more";
  return config.timestep_spacing === "trailing" ? "trailing" : "as-asked";
}

interface Schedule {
  /** One level more than there are timesteps, or two. */
  readonly sigmas: Float32Array;
  /** In training timesteps, for models that are told those. */
  readonly timesteps: Float32Array;
}

function customSchedule(levels: readonly number[], logTraining: Float32Array): Schedule {
  const sigmas = Float32Array.from(levels);
  return {
    sigmas,
    timesteps: sigmas.slice(0, -1).map((s) => timestepForSigma(s, logTraining, Math.fround)),
  };
}

function ownSchedule(
  config: EulerDiscreteConfig,
  count: number,
  training: Float32Array,
  logTraining: Float32Array,
): Schedule {
  const spaced = spacedTimesteps(config, count);
  const plain = plainSigmas(config, count, spaced, training, logTraining);
  const range = {
    min: config.sigma_min ?? plain.at(-1)!,
    max: config.sigma_max ?? plain[0]!,
  };
  const respace = respacing(config);
  const levels = respace === null ? plain : respace(count, range);
  const timesteps =
    respace === null
      ? spaced
      : Float32Array.from(levels, (s) => timestepForSigma(s, logTraining, (value) => value));

  const last = config.final_sigmas_type === "zero" ? 0 : training[0]!;
  return { sigmas: Float32Array.of(...levels, last), timesteps };
}

/** The noise levels of the training schedule itself, before any respacing. */
function plainSigmas(
  config: EulerDiscreteConfig,
  count: number,
  timesteps: Float32Array,
  training: Float32Array,
  logTraining: Float32Array,
): readonly number[] {
  if (config.interpolation_type === "linear") {
    return Array.from(timesteps, (timestep) => sigmaAtTimestep(timestep, training));
  }
  const [low, high] = [logTraining[0]!, logTraining.at(-1)!];
  return Array.from(linspaceF32(high, low, count + 1).map(Math.exp));
}

function respacing(config: EulerDiscreteConfig): typeof karrasSigmas | null {
  if (config.use_karras_sigmas) return karrasSigmas;
  if (config.use_exponential_sigmas) return exponentialSigmas;
  return config.use_beta_sigmas ? betaSigmas : null;
}

function isContinuous(config: EulerDiscreteConfig): boolean {
  return config.timestep_type === "continuous" && config.prediction_type === "v_prediction";
}

function initNoiseSigma(config: EulerDiscreteConfig, sigmas: Float32Array): number {
  const max = sigmas.reduce((a, b) => Math.max(a, b));
  if (config.timestep_spacing !== "leading") return max;
  return inputScale(max);
}

/**
 * sqrt(sigma² + 1), in float32 after each operation: what latents of noise level sigma are divided
 * by before the model sees them.
 */
export function inputScale(sigma: number): number {
  const s = Math.fround(sigma);
  return Math.fround(Math.sqrt(Math.fround(Math.fround(s * s) + 1)));
}

function refuseBadConfig(config: EulerDiscreteConfig): void {
  const violations = eulerConfigProblems(config);
  if (violations.length === 0) return;
  const lines = violations.map(({ field, description }) => `${field}: ${description}`);
  throw new FarmError("checkpoint-invalid", `scheduler config: ${lines.join("; ")}`, {
    violations,
  });
}

function refuseBadRequest(request: StepRequest): void {
  const [field, problem] =
    "sigmas" in request
      ? ["sigmas", customSigmasProblem(request.sigmas)]
      : ["num_inference_steps", stepCountProblem(request.numInferenceSteps)];
  if (problem === null) return;
  throw new FarmError("invalid-argument", `${field}: ${problem}`, {
    violations: [{ field, description: problem }],
  });
}

function stepCountProblem(count: number): string | null {
  return Number.isSafeInteger(count) && count >= 1
    ? null
    : `${count} is not an integer, at least 1`;
}

/** Whatever the fields were: noise levels that are not positive numbers would only make NaN. */
function refuseUnusable(table: StepTable): void {
  const steps = table.timesteps.length;
  for (const [i, sigma] of table.sigmas.entries()) {
    const usable = i < steps ? sigma > 0 && Number.isFinite(table.timesteps[i]!) : sigma >= 0;
    if (usable && sigma <= SIGMA_LIMIT) continue;
    throw new FarmError(
      "checkpoint-invalid",
      `scheduler config: noise level ${i} of ${steps} steps is ${sigma}; legal is 0..${SIGMA_LIMIT}, above 0 before the last`,
    );
  }
}
