import { expect, test } from "vitest";
import { ModelProto } from "../../proto/gen/onnx/onnx.js";
import { tensor } from "../../shared/tensor/tensor.js";
import { maxRelativeDifference } from "../../test/golden/read-golden.js";
import { openSession } from "../runtime/session.js";
import { attend } from "./attend.js";
import { CPU_VARIANT, type GraphVariant } from "./graph.js";
import { GraphBuilder } from "./graph-builder.js";

const SHAPE = [2, 70, 24]; // more tokens than a kernel takes at a time
const HEADS = 3;
/** Room for sums in another order (about 1e-6 here), none for another formula. */
const TOLERANCE = 2e-5;

async function attended(variant: GraphVariant) {
  const g = new GraphBuilder("test", variant);
  const [q, k, v] = ["q", "k", "v"].map((name) => g.input(name, SHAPE));
  g.output("y", attend(q!, k!, v!, HEADS));
  const built = g.build(0);
  const session = await openSession(built, ".", { provider: "cpu", intraOpThreads: 1 });
  const wave = (pace: number) =>
    tensor(
      SHAPE,
      Float32Array.from({ length: 2 * 70 * 24 }, (_, i) => Math.sin(pace * i)),
    );
  const { y } = await session.run({ q: wave(1), k: wave(1.7), v: wave(0.3) });
  await session.close();
  const operators = ModelProto.decode(built.bytes).graph!.node.map(({ opType }) => opType);
  return { values: y!.data, operators };
}

test("both forms of attention give the same numbers", async () => {
  const fused = await attended({ ...CPU_VARIANT, attention: "fused" });
  const products = await attended({ ...CPU_VARIANT, attention: "products" });
  expect(maxRelativeDifference(products.values, fused.values)).toBeLessThan(TOLERANCE);
  expect(fused.operators).toEqual(["MultiHeadAttention"]);
  expect(products.operators).not.toContain("MultiHeadAttention");
});
