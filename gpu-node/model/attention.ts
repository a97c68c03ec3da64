/**
 * @file Attention and the two transformer blocks of the UNet.
 *
 * Tokens are rows: [F·S, C] holds the S places of F frames, frame by frame. Everything but the
 * attention itself works on single rows, so one layout serves the spatial and the temporal block
 * and no transpose of the tokens is needed.
 *
 * @source diffusers models/attention.py, models/attention_processor.py
 */
import { attend } from "./attend.js";
import { addFeedForward, LAYER_NORM_EPS } from "./feed-forward.js";
import type { Value } from "./graph-builder.js";
import { groupNorm, layerNorm, linear } from "./layers.js";
import { fusedMatMul } from "./ops-linear.js";
import { add } from "./ops-math.js";
import { softmax } from "./ops-norm.js";
import { reshape, transpose } from "./ops-shape.js";
import type { Weights } from "./parameters.js";

/** Frames, places of one frame, and heads: what a block must know of its tokens. */
export interface TokenLayout {
  readonly frames: number;
  readonly places: number;
  readonly heads: number;
}

/**
 * Self-attention among the places of each frame, then cross-attention, then feed-forward.
 *
 * @param x tokens [F·S, C]
 * @param context encoder hidden states [1, D]: one key
 * @source BasicTransformerBlock.forward with norm_type "layer_norm", activation_fn "geglu"
 */
export function basicTransformerBlock(
  w: Weights,
  x: Value,
  context: Value,
  layout: TokenLayout,
): Value {
  const normal = layerNorm(w.at("norm1"), x, LAYER_NORM_EPS);
  const crossed = oneKeyAttention(w, x.shape[1]!, context);
  const h = add(x, spatialAttention(w.at("attn1"), normal, layout, crossed));
  return addFeedForward(w.at("norm3"), w.at("ff"), h, layout.frames);
}

/**
 * Feed-forward, self-attention among the frames of each place, cross-attention, feed-forward.
 *
 * @param x tokens [F·S, C]
 * @param context encoder hidden states [1, D]: one key
 * @source TemporalBasicTransformerBlock.forward with dim = time_mix_inner_dim
 */
export function temporalBasicTransformerBlock(
  w: Weights,
  x: Value,
  context: Value,
  layout: TokenLayout,
): Value {
  let h = addFeedForward(w.at("norm_in"), w.at("ff_in"), x, layout.frames);
  const normal = layerNorm(w.at("norm1"), h, LAYER_NORM_EPS);
  const crossed = oneKeyAttention(w, x.shape[1]!, context);
  h = add(h, temporalAttention(w.at("attn1"), normal, layout, crossed));
  return addFeedForward(w.at("norm3"), w.at("ff"), h, layout.frames);
}

/**
 * Attention of each frame to itself.
 *
 * @param shift what is added to every token of the result, [C]
 */
function spatialAttention(w: Weights, x: Value, layout: TokenLayout, shift: Value): Value {
  const width = x.shape[1]!;
  const sequence = (rows: Value): Value => reshape(rows, [layout.frames, layout.places, width]);
  const [q, k, v] = projections(w, x);
  const attended = attend(sequence(q), sequence(k), sequence(v), layout.heads);
  return linear(w.at("to_out", 0), reshape(attended, x.shape), width, { shift });
}

/**
 * Attention of each place to itself in all frames.
 *
 * The products read [F, S, heads, d] as [S, heads, F, d] by strides, so only the result is moved.
 * For so few frames this is twice as fast as a fused attention operator.
 *
 * @param shift what is added to every token of the result, [C]
 */
function temporalAttention(w: Weights, x: Value, layout: TokenLayout, shift: Value): Value {
  const { frames, places, heads } = layout;
  const width = x.shape[1]!;
  const split = (rows: Value): Value => reshape(rows, [frames, places, heads, width / heads]);
  const [q, k, v] = projections(w, x);
  const scores = fusedMatMul(split(q), split(k), {
    alpha: 1 / Math.sqrt(width / heads),
    transB: true,
    transBatchA: true,
    transBatchB: true,
  }); // [S, heads, F, F]
  const attended = fusedMatMul(softmax(scores), split(v), { transBatchB: true }); // [S, heads, F, d]
  const rows = reshape(transpose(attended, [2, 0, 1, 3]), x.shape); // [F·S, C]
  return linear(w.at("to_out", 0), rows, width, { shift });
}

function projections(w: Weights, x: Value): [q: Value, k: Value, v: Value] {
  const width = x.shape[1]!;
  const project = (name: string): Value => linear(w.at(name), x, width, { bias: false });
  return [project("to_q"), project("to_k"), project("to_v")];
}

/**
 * Cross-attention to one key. The softmax over one key is 1 whatever the query is, so the result is
 * to_out(to_v(context)) for every token: exact, and the same for all places and frames. It is added
 * with the bias of the self-attention before it, which costs nothing.
 *
 * @param width C, of the tokens
 * @returns [C]
 */
function oneKeyAttention(w: Weights, width: number, context: Value): Value {
  const reason = "with one key the softmax is 1 for every query and key";
  w.at("norm2").skip("weight", [width], reason);
  w.at("norm2").skip("bias", [width], reason);
  w.at("attn2", "to_q").skip("weight", [width, width], reason);
  w.at("attn2", "to_k").skip("weight", [width, context.shape[1]!], reason);
  const value = linear(w.at("attn2", "to_v"), context, width, { bias: false });
  return reshape(linear(w.at("attn2", "to_out", 0), value, width), [width]);
}

/**
 * Attention among the places of each picture, with a norm before and the input added after: the
 * attention of the VAE, with one head.
 *
 * @param x [N, C, H, W]
 * @param eps of the norm
 * @source Attention with norm_num_groups, residual_connection = true, bias = true, 4-d input
 */
export function attentionBlock(w: Weights, x: Value, eps: number): Value {
  const [n, channels, height, width] = x.shape;
  const places = height! * width!;
  const flat = reshape(groupNorm(w.at("group_norm"), x, eps), [n!, channels!, places]);
  const tokens = transpose(flat, [0, 2, 1]); // [N, H·W, C]
  const project = (name: string): Value => linear(w.at(name), tokens, channels!);
  const attended = attend(project("to_q"), project("to_k"), project("to_v"), 1);
  const out = linear(w.at("to_out", 0), attended, channels!);
  return add(x, reshape(transpose(out, [0, 2, 1]), x.shape));
}
