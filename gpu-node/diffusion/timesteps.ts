/** @file Which training timesteps a clip visits, and which timestep has a given noise level. */
import { assertNever } from "../../shared/core/assert.js";
import { trailingStepCount } from "../../shared/farm/parameters.js";
import type { EulerDiscreteConfig } from "./euler-config.js";

type Spacing = Pick<
  EulerDiscreteConfig,
  "timestep_spacing" | "num_train_timesteps" | "steps_offset"
>;

/**
 * Timesteps from most to least noise.
 *
 * @param count steps asked for, an integer, at least 1. "trailing" gives one more for the few counts
 *   at which the reference's floating-point range does (61 and 103 of 1000 are the first).
 * @returns float32 numbers, falling
 * @source diffusers schedulers/scheduling_euler_discrete.py, set_timesteps; Lin et al. 2023
 *   (arXiv:2305.08891), table 2
 */
export function spacedTimesteps(config: Spacing, count: number): Float32Array {
  const train = config.num_train_timesteps;
  switch (config.timestep_spacing) {
    case "linspace": {
      const step = (train - 1) / (count - 1);
      return Float32Array.from({ length: count }, (_, i) =>
        count === 1 ? 0 : i === 0 ? train - 1 : (count - 1 - i) * step,
      );
    }
    case "leading": {
      const ratio = Math.floor(train / count);
      return Float32Array.from(
        { length: count },
        (_, i) => (count - 1 - i) * ratio + config.steps_offset,
      );
    }
    case "trailing": {
      // numpy.arange(train, 0, -ratio): its length and its values, rounding included.
      const ratio = train / count;
      const step = train - ratio - train;
      const length = trailingStepCount(train, count);
      return Float32Array.from({ length }, (_, i) => roundHalfEven(train + i * step) - 1);
    }
    default:
      return assertNever(config.timestep_spacing);
  }
}

/**
 * The training timestep, between whole ones too, at which the noise level is `sigma`; levels
 * outside the training range get its ends. Linear in ln(sigma).
 *
 * @param sigma > 0
 * @param logSigmas ln of the training sigmas [T], rising
 * @param round applied after every operation: Math.fround where the reference works in float32
 * @source diffusers schedulers/scheduling_euler_discrete.py, _sigma_to_t
 */
export function timestepForSigma(
  sigma: number,
  logSigmas: Float32Array,
  round: (value: number) => number,
): number {
  const logSigma = round(Math.log(Math.max(sigma, 1e-10)));
  const lastAtMost = logSigmas.findLastIndex((level) => level <= logSigma);
  const lowIndex = Math.min(Math.max(lastAtMost, 0), logSigmas.length - 2);
  const [low, high] = [logSigmas[lowIndex]!, logSigmas[lowIndex + 1]!];
  const share = round(round(low - logSigma) / round(low - high));
  const weight = Math.min(Math.max(share, 0), 1);
  return round(1 - weight) * lowIndex + weight * (lowIndex + 1);
}

/**
 * numpy.interp of the training sigmas at fractional timesteps; beyond the ends, the ends.
 *
 * @param sigmas training sigmas [T]
 */
export function sigmaAtTimestep(timestep: number, sigmas: Float32Array): number {
  const last = sigmas.length - 1;
  if (timestep <= 0) return sigmas[0]!;
  if (timestep >= last) return sigmas[last]!;
  const index = Math.floor(timestep);
  const [low, high] = [sigmas[index]!, sigmas[index + 1]!];
  return (high - low) * (timestep - index) + low;
}

function roundHalfEven(value: number): number {
  const whole = Math.floor(value);
  const rest = value - whole;
  return rest > 0.5 || (rest === 0.5 && whole % 2 !== 0) ? whole + 1 : whole;
}
