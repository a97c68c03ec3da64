/** @file Builds a small graph and runs it once: how tests look at what operators compute. */
import { GraphBuilder, type Value } from "../../gpu-node/model/graph-builder.js";
import { openSession } from "../../gpu-node/runtime/session.js";
import type { Tensor } from "../../shared/tensor/tensor.js";

/**
 * @param inputs of the graph, in the order in which `build` is given them
 * @param build what to compute, e.g. ([x]) => silu(x!)
 * @param folder where parameters lie, for a graph that has some
 */
export async function runGraph(
  inputs: readonly Tensor[],
  build: (inputs: readonly Value[], g: GraphBuilder) => Value,
  folder = import.meta.dirname,
): Promise<Tensor> {
  const g = new GraphBuilder("test");
  const values = inputs.map(({ shape }, i) => g.input(`x${i}`, shape));
  g.output("y", build(values, g));
  const session = await openSession(g.build(0), folder, { provider: "cpu", intraOpThreads: 1 });
  try {
    const { y } = await session.run(Object.fromEntries(inputs.map((x, i) => [`x${i}`, x])));
    return y!;
  } finally {
    await session.close();
  }
}
