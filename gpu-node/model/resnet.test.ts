import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tensor } from "../../shared/tensor/tensor.js";
import { maxDifference } from "../../test/golden/read-golden.js";
import { runGraph } from "../../test/golden/run-graph.js";
import { Weights } from "./parameters.js";
import { alphaBlend, type BlendConfig, blendFactors } from "./resnet.js";

const FACTOR = 0.7;
const SIGMOID = 1 / (1 + Math.exp(-FACTOR));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "renderfarm-resnet-"));
  writeFileSync(join(folder, "w.safetensors"), new Uint8Array(Float32Array.of(FACTOR).buffer));
});
afterAll(() => rmSync(folder, { recursive: true }));

type Case = [strategy: BlendConfig["strategy"], switched: boolean, alpha: number];
const cases: Case[] = [
  ["learned", false, SIGMOID],
  ["learned", true, 1 - SIGMOID],
  ["learned_with_images", false, SIGMOID],
  ["learned_with_images", true, 1 - SIGMOID],
  ["fixed", false, FACTOR],
  ["fixed", true, 1 - FACTOR],
];

test.each(cases)("alphaBlend, %s, switched: %s", async (strategy, switched, alpha) => {
  const range = { file: "w.safetensors", offset: 0, byteLength: 4 };
  const entry = { name: "mix_factor", dtype: "F32" as const, shape: [1], ...range };
  const spatial = tensor([2], Float32Array.of(1, 2));
  const temporal = tensor([2], Float32Array.of(10, -20));

  const blended = await runGraph(
    [spatial, temporal],
    ([s, t], g) => {
      const w = Weights.root(g, "unet", new Map([[entry.name, entry]]));
      const factors = blendFactors(w, { strategy, switchSpatialToTemporalMix: switched });
      return alphaBlend(factors, s!, t!);
    },
    folder,
  );

  const expected = [alpha + (1 - alpha) * 10, 2 * alpha - (1 - alpha) * 20];
  expect(maxDifference(blended.data, expected)).toBeLessThan(2e-6);
});
