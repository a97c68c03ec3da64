import { expect, test } from "vitest";
import { elementCount, tensor } from "../../shared/tensor/tensor.js";
import { goldenPath } from "../../test/golden/read-golden.js";
import { openCheckpoint } from "../checkpoint/open-checkpoint.js";
import { openSession } from "../runtime/session.js";
import { addFeedForward } from "./feed-forward.js";
import { CPU_VARIANT, type GraphVariant } from "./graph.js";
import { GraphBuilder } from "./graph-builder.js";
import { partOfIndex, Weights } from "./parameters.js";

const BLOCK = "mid_block.attentions.0.transformer_blocks.0";
const { feedForwardBytes: _, ...WHOLE } = CPU_VARIANT;
/** Not a multiple of any part, so that the last one is smaller. */
const ROWS = 93;
const FRAMES = 3;

async function computed(variant: GraphVariant) {
  const { components } = await openCheckpoint(goldenPath("two-level/checkpoint"));
  const { weights, folder } = components.unet;
  const width = weights.get(`${BLOCK}.norm3.weight`)!.shape[0]!;
  const g = new GraphBuilder("test", variant);
  const part = (name: string) =>
    name.startsWith(`${BLOCK}.ff.`) || name.startsWith(`${BLOCK}.norm3`);
  const w = Weights.root(g, "unet", partOfIndex(weights, part));
  const block = w.at(...BLOCK.split("."));
  const h = g.input("h", [ROWS, width]);
  g.output("y", addFeedForward(block.at("norm3"), block.at("ff"), h, FRAMES));
  const built = g.build(w.finish());
  const session = await openSession(built, folder, { provider: "cpu", intraOpThreads: 1 });
  const wave = Float32Array.from({ length: elementCount(h.shape) }, (_, i) => Math.sin(i));
  const { y } = await session.run({ h: tensor(h.shape, wave) });
  await session.close();
  return { values: y!.data, built, innerRowBytes: 4 * 4 * width };
}

test("rows in parts give the same bytes as all at once, and hold less at one time", async () => {
  const whole = await computed(WHOLE);
  const parts = await computed({
    ...WHOLE,
    feedForwardBytes: 24 * whole.innerRowBytes, // four parts
  });
  expect(parts.values).toEqual(whole.values);
  expect(parts.built.costs.activationBytes).toBeLessThan(whole.built.costs.activationBytes / 2);
  expect(parts.built.costs.multiplications).toBe(whole.built.costs.multiplications);
});

test("frames in chunks give the same bytes as all at once, and hold less at one time", async () => {
  const [whole, chunks] = await Promise.all([
    computed(WHOLE),
    computed({ ...WHOLE, forwardChunkSize: 1 }), // 31 rows each, by 36: three parts
  ]);
  expect(chunks.values).toEqual(whole.values);
  expect(chunks.built.nodeCount).toBe(3 * (whole.built.nodeCount + 1) + 1);
  expect(chunks.built.costs.activationBytes).toBeLessThan(whole.built.costs.activationBytes / 2);
});

test("of parts for a cache and chunks of frames the smaller ones are taken", async () => {
  const both = await computed({ ...WHOLE, feedForwardBytes: 1, forwardChunkSize: 2 });
  expect(both.built.nodeCount).toBe(
    (await computed({ ...WHOLE, feedForwardBytes: 1 })).built.nodeCount,
  );
});

test("where no cache is large enough, four parts save memory", async () => {
  const [whole, parts] = await Promise.all([
    computed(WHOLE),
    computed({ ...WHOLE, feedForwardBytes: 1 }),
  ]);
  expect(parts.values).toEqual(whole.values);
  const [perPart, joined] = [whole.built.nodeCount + 1, 1]; // a slice more; one concatenation
  expect(parts.built.nodeCount).toBe(4 * perPart + joined);
});
