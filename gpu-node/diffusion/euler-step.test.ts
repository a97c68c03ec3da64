import { describe, expect, test } from "vitest";
import { goldenTensor, readGolden, readGoldenJson } from "../../test/golden/read-golden.js";
import type { PredictionType } from "./euler-config.js";
import { eulerStep, guideAndStep, scaleModelInput } from "./euler-step.js";
import { linspaceF32 } from "./linspace.js";

interface StepCase {
  readonly key: string;
  readonly prediction_type: PredictionType;
  readonly sigmas: [number, number];
  readonly frames: number;
}

const golden = readGolden("schedulers/steps.safetensors");
const cases = readGoldenJson<StepCase[]>("schedulers/steps.json");
const values = (spec: StepCase, name: string) => goldenTensor(golden, `${spec.key}/${name}`).data;

describe.each(cases)("a single step gives the reference's bits: $key", (spec) => {
  const [sigma, sigmaNext] = spec.sigmas;
  const latents = values(spec, "latents");
  const noise = {
    sigma,
    sigmaNext,
    predictionType: spec.prediction_type,
    dtype: "float32",
  } as const;

  test("the model's input", () => {
    const out = new Float32Array(latents.length);
    scaleModelInput(latents, sigma, out, "float32");
    expect(out).toEqual(values(spec, "scaled"));
  });

  test("without guidance", () => {
    const out = new Float32Array(latents.length);
    eulerStep({ ...noise, modelOutput: values(spec, "cond"), latents, out });
    expect(out).toEqual(values(spec, "unguided"));
  });

  test("with per-frame guidance, in place too", () => {
    const halves = { uncond: values(spec, "uncond"), cond: values(spec, "cond") };
    const guidance = linspaceF32(1, 3, spec.frames);
    const out = latents.slice();
    guideAndStep({ ...noise, ...halves, latents: out, frames: spec.frames, guidance, out });
    expect(out).toEqual(values(spec, "guided"));
    expect(out).not.toEqual(values(spec, "unguided"));
  });
});

test("original_sample is sample under its older name", () => {
  const [modelOutput, latents] = [Float32Array.of(0.5, -2), Float32Array.of(3, 4)];
  const results = (["sample", "original_sample"] as const).map((predictionType) => {
    const out = new Float32Array(2);
    eulerStep({
      modelOutput,
      latents,
      sigma: 2,
      sigmaNext: 1,
      predictionType,
      dtype: "float32",
      out,
    });
    return [...out];
  });
  expect(results).toEqual([
    [1.75, 1],
    [1.75, 1],
  ]);
});

test.each([
  ["guidance of another number of frames", { guidance: new Float32Array(3) }],
  ["a half of another size", { cond: new Float32Array(7) }],
  ["latents that are no whole frames", { frames: 3, guidance: new Float32Array(3) }],
])("%s is a bug of the caller", (_name, change) => {
  const eight = () => new Float32Array(8);
  const step = { uncond: eight(), cond: eight(), latents: eight(), out: eight(), frames: 2 };
  const noise = { sigma: 2, sigmaNext: 1, predictionType: "epsilon", dtype: "float32" } as const;
  expect(() =>
    guideAndStep({ ...step, ...noise, guidance: new Float32Array(2), ...change }),
  ).toThrow("bug: expected");
});
