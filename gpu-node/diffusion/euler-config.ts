/** @file The fields of `scheduler/scheduler_config.json`, under the checkpoint's own names. */
import type { Violation } from "../../shared/core/errors.js";

export type BetaSchedule = "linear" | "scaled_linear" | "squaredcos_cap_v2";
/** "original_sample" is the reference's older name of "sample". */
export type PredictionType = "epsilon" | "sample" | "original_sample" | "v_prediction";

/** @source diffusers schedulers/scheduling_euler_discrete.py, EulerDiscreteScheduler.__init__ */
export interface EulerDiscreteConfig {
  /** Noise levels of the training schedule, an integer, at least 2. */
  readonly num_train_timesteps: number;
  /** First and last beta of the training schedule, in 0..1; unused with `trained_betas`. */
  readonly beta_start: number;
  readonly beta_end: number;
  readonly beta_schedule: BetaSchedule;
  /** The betas themselves, in place of a schedule. */
  readonly trained_betas: readonly number[] | null;
  /** What the model's output means. */
  readonly prediction_type: PredictionType;
  /** How sigmas between the training levels are found; the three below take precedence. */
  readonly interpolation_type: "linear" | "log_linear";
  /** At most one of the three may be true. */
  readonly use_karras_sigmas: boolean;
  readonly use_exponential_sigmas: boolean;
  readonly use_beta_sigmas: boolean;
  /** Ends of the karras, exponential or beta sigmas, > 0; null: the plain schedule's own ends. */
  readonly sigma_min: number | null;
  readonly sigma_max: number | null;
  readonly timestep_spacing: "linspace" | "leading" | "trailing";
  /** "continuous" has an effect only with "v_prediction": timesteps are then 0.25 ln(sigma). */
  readonly timestep_type: "discrete" | "continuous";
  /** Added to every timestep; only effective with "leading" spacing. */
  readonly steps_offset: number;
  readonly rescale_betas_zero_snr: boolean;
  /** The noise left at the end: none, or that of the first training level. */
  readonly final_sigmas_type: "zero" | "sigma_min";
}

/** What the reference takes for a field that a checkpoint leaves out. */
export const EULER_DISCRETE_DEFAULTS: EulerDiscreteConfig = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: "linear",
  trained_betas: null,
  prediction_type: "epsilon",
  interpolation_type: "linear",
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  sigma_min: null,
  sigma_max: null,
  timestep_spacing: "linspace",
  timestep_type: "discrete",
  steps_offset: 0,
  rescale_betas_zero_snr: false,
  final_sigmas_type: "zero",
};

/** Every field whose value cannot give a schedule, with its legal range; empty for a good config. */
export function eulerConfigProblems(config: EulerDiscreteConfig): Violation[] {
  const problems: Violation[] = [];
  const refuse = (field: keyof EulerDiscreteConfig, legal: string) =>
    problems.push({ field, description: `${JSON.stringify(config[field])} is not ${legal}` });

  const count = config.num_train_timesteps;
  if (!Number.isInteger(count) || count < 2)
    refuse("num_train_timesteps", "an integer, at least 2");
  if (config.trained_betas === null) {
    if (!isBeta(config.beta_start)) refuse("beta_start", "in 0..1, below 1");
    if (!isBeta(config.beta_end)) refuse("beta_end", "in 0..1, below 1");
  } else if (config.trained_betas.length < 2 || !config.trained_betas.every(isBeta)) {
    refuse("trained_betas", "a list of at least 2 numbers in 0..1, each below 1");
  }
  if (!Number.isInteger(config.steps_offset)) refuse("steps_offset", "an integer");

  const { sigma_min: min, sigma_max: max } = config;
  if (min !== null && !isPositive(min)) refuse("sigma_min", "a finite number above 0");
  if (max !== null && !isPositive(max)) refuse("sigma_max", "a finite number above 0");
  if (min !== null && max !== null && min > max) refuse("sigma_min", `at most sigma_max, ${max}`);

  const chosen = (
    ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"] as const
  ).filter((field) => config[field]);
  if (chosen.length > 1) refuse(chosen[1]!, `possible together with ${chosen[0]}: keep one`);
  return problems;
}

function isBeta(value: number): boolean {
  return value >= 0 && value < 1;
}

function isPositive(value: number): boolean {
  return Number.isFinite(value) && value > 0;
}
