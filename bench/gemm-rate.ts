/** @file How fast the engine multiplies matrices on this machine: what a network is measured by. */
import { GraphBuilder } from "../gpu-node/model/graph-builder.js";
import { gemmTransB } from "../gpu-node/model/ops-linear.js";
import { slice } from "../gpu-node/model/ops-shape.js";
import { openSession } from "../gpu-node/runtime/session.js";
import { tensor } from "../shared/tensor/tensor.js";

/** Rows, columns and depth of the product: large enough to be at full speed, small enough for a cache. */
const SIZE = 1024;

/** Additions and multiplications of one product. */
export const GEMM_OPERATIONS = 2 * SIZE ** 3;

/** @returns what makes one product with a constant right side and tells its seconds */
export async function openGemm(threads: number): Promise<() => Promise<number>> {
  const values = Float32Array.from({ length: SIZE * SIZE }, (_, i) => Math.sin(i));
  const g = new GraphBuilder("gemm");
  const x = g.input("x", [SIZE, SIZE]);
  // A row is enough: what leaves the engine is copied and looked at, which is not what is measured.
  g.output("y", slice(gemmTransB(x, g.floats([SIZE, SIZE], values), null), 0, 0, 1));
  const session = await openSession(g.build(0), ".", { provider: "cpu", intraOpThreads: threads });
  return async () => {
    const startMs = performance.now();
    await session.run({ x: tensor([SIZE, SIZE], values) });
    return (performance.now() - startMs) / 1_000;
  };
}
