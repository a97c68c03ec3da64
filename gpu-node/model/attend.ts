/** @file Attention of every head in the form that the graph's variant asks for. */
import { assertNever } from "../../shared/core/assert.js";
import type { Value } from "./graph-builder.js";
import { fusedMatMul, matMul, multiHeadAttention } from "./ops-linear.js";
import { softmax } from "./ops-norm.js";
import { reshape, transpose } from "./ops-shape.js";

/**
 * softmax(q · kᵀ / √d) · v for every head.
 *
 * @param q [batch, tokens, heads·d]; k and v alike
 * @returns [batch, tokens, heads·d]
 */
export function attend(q: Value, k: Value, v: Value, heads: number): Value {
  const { attention } = q.graph.variant;
  switch (attention) {
    case "fused":
      return multiHeadAttention(q, k, v, heads);
    case "products":
      return twoProducts(q, k, v, heads);
    default:
      return assertNever(attention);
  }
}

/** Holds the scores of whole sequences, [batch, heads, tokens, tokens], at one time. */
function twoProducts(q: Value, k: Value, v: Value, heads: number): Value {
  const [batch, tokens, width] = q.shape as [number, number, number];
  const split = (x: Value): Value =>
    transpose(reshape(x, [batch, tokens, heads, width / heads]), [0, 2, 1, 3]);
  const alpha = 1 / Math.sqrt(width / heads);
  const scores = fusedMatMul(split(q), split(k), { alpha, transB: true });
  const attended = matMul(softmax(scores), split(v)); // [batch, heads, tokens, d]
  return reshape(transpose(attended, [0, 2, 1, 3]), q.shape);
}
