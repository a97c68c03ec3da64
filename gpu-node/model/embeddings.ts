/**
 * @file Numbers as vectors: sinusoids and the small network behind them.
 *
 * @source diffusers models/embeddings.py
 */
import { shapeMismatch, showShape, type Value } from "./graph-builder.js";
import { linear, silu } from "./layers.js";
import { cos, mul, sin, toComputeType } from "./ops-math.js";
import { concat, reshape } from "./ops-shape.js";
import type { Weights } from "./parameters.js";

/** Longest wavelength of the sinusoids over the shortest. */
const MAX_PERIOD = 10_000;

/**
 * [cos(t·f_i)..., sin(t·f_i)...] with f_i falling geometrically from 1; an odd width ends with 0.
 *
 * Computed in float32 whatever the graph computes in, as in the reference.
 *
 * @param t [N], float32
 * @param width of one embedding, at least 2
 * @returns [N, width]
 * @source get_timestep_embedding with flip_sin_to_cos = true, downscale_freq_shift = 0
 */
export function timesteps(t: Value, width: number): Value {
  const [n] = t.shape;
  if (t.shape.length !== 1 || width < 2) {
    throw shapeMismatch(
      "timesteps",
      [t],
      `needs [N] and a width, not ${showShape(t.shape)}, ${width}`,
    );
  }
  const half = Math.floor(width / 2);
  // float32 at every step, as the reference computes them.
  const logPeriod = Math.fround(-Math.log(MAX_PERIOD));
  const frequencies = Float32Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(logPeriod * i) / half)),
  );
  const angles = mul(reshape(t, [n!, 1]), t.graph.floats([1, half], frequencies, "float32"));
  const parts: [Value, ...Value[]] = [cos(angles), sin(angles)];
  if (width % 2 === 1) parts.push(t.graph.floats([n!, 1], new Float32Array(n!), "float32"));
  return toComputeType(concat(parts, 1));
}

/**
 * Two linear layers with SiLU between them.
 *
 * @param x [N, in]
 * @returns [N, out]
 * @source TimestepEmbedding
 */
export function timestepEmbedding(w: Weights, x: Value, hidden: number, out: number): Value {
  return linear(w.at("linear_2"), silu(linear(w.at("linear_1"), x, hidden)), out);
}
