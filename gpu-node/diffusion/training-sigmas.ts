/** @file The noise levels a model was trained on, from its beta schedule. */
import { assertNever } from "../../shared/core/assert.js";
import type { EulerDiscreteConfig } from "./euler-config.js";
import { linspaceF32 } from "./linspace.js";

/** The reference's stand-in for a last cumulative alpha of 0, whose sigma would be infinite. */
const ZERO_SNR_ALPHA = 2 ** -24;

/**
 * sigma_t = sqrt((1 - ᾱ_t) / ᾱ_t) for every training timestep, ᾱ the running product of 1 - beta.
 * Rounded to float32 after each operation, as the reference computes it.
 *
 * @returns Float32Array [T], rising; T is `num_train_timesteps`, or the number of `trained_betas`
 * @source diffusers schedulers/scheduling_euler_discrete.py, EulerDiscreteScheduler.__init__
 */
export function trainingSigmas(config: EulerDiscreteConfig): Float32Array {
  const betas = trainingBetas(config);
  const alphas = runningProduct(
    (config.rescale_betas_zero_snr ? rescaledToZeroSnr(betas) : betas).map((beta) => 1 - beta),
  );
  if (config.rescale_betas_zero_snr) alphas[alphas.length - 1] = ZERO_SNR_ALPHA;
  return alphas.map((alpha) => Math.sqrt(Math.fround(Math.fround(1 - alpha) / alpha)));
}

function trainingBetas(config: EulerDiscreteConfig): Float32Array {
  if (config.trained_betas !== null) return Float32Array.from(config.trained_betas);
  const { beta_start: start, beta_end: end, num_train_timesteps: count } = config;
  switch (config.beta_schedule) {
    case "linear":
      return linspaceF32(start, end, count);
    case "scaled_linear":
      return linspaceF32(Math.sqrt(start), Math.sqrt(end), count).map((root) => root * root);
    case "squaredcos_cap_v2":
      return cosineBetas(count);
    default:
      return assertNever(config.beta_schedule);
  }
}

/** Glide's cosine schedule, no beta above 0.999. @source betas_for_alpha_bar, same file */
function cosineBetas(count: number): Float32Array {
  const alphaBar = (t: number) => Math.cos(((t + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
  return Float32Array.from({ length: count }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / count) / alphaBar(i / count), 0.999),
  );
}

/** Betas whose last cumulative alpha is 0. @source rescale_zero_terminal_snr, same file */
function rescaledToZeroSnr(betas: Float32Array): Float32Array {
  const roots = runningProduct(betas.map((beta) => 1 - beta)).map(Math.sqrt);
  const [first, last] = [roots[0]!, roots[roots.length - 1]!];
  const stretch = Math.fround(first / Math.fround(first - last));
  const alphasBar = roots.map((root) => {
    const stretched = Math.fround(Math.fround(root - last) * stretch);
    return stretched * stretched;
  });
  return alphasBar.map((alphaBar, i) => {
    const alpha = i === 0 ? alphaBar : Math.fround(alphaBar / alphasBar[i - 1]!);
    return 1 - alpha;
  });
}

/** `torch.cumprod` in float32: the product itself runs in double precision. */
function runningProduct(factors: Float32Array): Float32Array {
  let product = 1;
  return factors.map((factor) => {
    product *= factor;
    return product;
  });
}
