/** @file The configuration of the scheduler. */
import { z } from "zod";
import {
  EULER_DISCRETE_DEFAULTS as defaults,
  type EulerDiscreteConfig,
  eulerConfigProblems,
} from "../../diffusion/euler-config.js";
import { className, readConfig, refuseConfig } from "./read-config.js";

/** `scheduler/scheduler_config.json`. */
export type SchedulerConfig = EulerDiscreteConfig;

/**
 * Reads `scheduler/scheduler_config.json` and fills in the reference's defaults.
 *
 * @param json the parsed file
 * @param file name for messages
 * @throws FarmError "checkpoint-invalid" with every wrong field, or for another scheduler
 * @source diffusers schedulers/scheduling_euler_discrete.py, EulerDiscreteScheduler
 */
export function readSchedulerConfig(
  json: unknown,
  file = "scheduler/scheduler_config.json",
): SchedulerConfig {
  const { _class_name, ...config } = readConfig(schedulerSchema, json, file);
  refuseConfig(file, eulerConfigProblems(config));
  return config;
}

/** The reference lets these be null. */
const flag = z
  .boolean()
  .nullable()
  .default(false)
  .transform((value) => value ?? false);

const schedulerSchema = z.object({
  _class_name: className("EulerDiscreteScheduler"),
  num_train_timesteps: z.int().max(1_000_000).default(defaults.num_train_timesteps),
  beta_start: z.number().default(defaults.beta_start),
  beta_end: z.number().default(defaults.beta_end),
  beta_schedule: z
    .enum(["linear", "scaled_linear", "squaredcos_cap_v2"])
    .default(defaults.beta_schedule),
  trained_betas: z.array(z.number()).max(1_000_000).nullable().default(null),
  prediction_type: z
    .enum(["epsilon", "sample", "original_sample", "v_prediction"])
    .default(defaults.prediction_type),
  interpolation_type: z.enum(["linear", "log_linear"]).default(defaults.interpolation_type),
  use_karras_sigmas: flag,
  use_exponential_sigmas: flag,
  use_beta_sigmas: flag,
  sigma_min: z.number().nullable().default(defaults.sigma_min),
  sigma_max: z.number().nullable().default(defaults.sigma_max),
  timestep_spacing: z.enum(["linspace", "leading", "trailing"]).default(defaults.timestep_spacing),
  timestep_type: z.enum(["discrete", "continuous"]).default(defaults.timestep_type),
  steps_offset: z.int().default(defaults.steps_offset),
  rescale_betas_zero_snr: z.boolean().default(defaults.rescale_betas_zero_snr),
  final_sigmas_type: z.enum(["zero", "sigma_min"]).default(defaults.final_sigmas_type),
});
