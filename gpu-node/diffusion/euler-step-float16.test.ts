import { describe, expect, test } from "vitest";
import { goldenTensor, readGolden } from "../../test/golden/read-golden.js";
import type { PredictionType } from "./euler-config.js";
import { eulerStep, guideAndStep, scaleModelInput } from "./euler-step.js";
import { linspaceF32 } from "./linspace.js";

const golden = readGolden("schedulers/float16-steps.safetensors");
const FRAMES = 3;

const cases = (["sample", "v_prediction"] as const).flatMap((type) =>
  [0, 3, 5].map((at): [PredictionType, number] => [type, at]),
);

describe.each(cases)("tensors of halves give the reference's bits: %s, step %i", (type, at) => {
  const value = (name: string) => goldenTensor(golden, `${type}.${at}.${name}`).data;
  const [sigma, sigmaNext] = value("sigmas") as unknown as [number, number];
  const latents = value("latents");
  const noise = { sigma, sigmaNext, predictionType: type } as const;

  test("the model's input", () => {
    const out = new Float32Array(latents.length);
    scaleModelInput(latents, sigma, out, "float16");
    expect(out).toEqual(value("scaled"));
  });

  test("guidance and step", () => {
    const halves = { uncond: value("uncond"), cond: value("cond") };
    const guidance = linspaceF32(1, 3, FRAMES);
    const step = { ...noise, ...halves, latents, frames: FRAMES, guidance };
    const out = new Float32Array(latents.length);
    guideAndStep({ ...step, dtype: "float16", out });
    expect(out).toEqual(value("after"));
    guideAndStep({ ...step, dtype: "float32", out });
    expect(out).not.toEqual(value("after"));
  });

  test("a step without guidance is one whose halves are the same", () => {
    const cond = value("cond");
    const [plain, guided] = [new Float32Array(cond.length), new Float32Array(cond.length)];
    eulerStep({ ...noise, dtype: "float16", modelOutput: cond, latents, out: plain });
    const same = { uncond: cond, cond, frames: FRAMES, guidance: linspaceF32(1, 3, FRAMES) };
    guideAndStep({ ...noise, ...same, dtype: "float16", latents, out: guided });
    expect(plain).toEqual(guided);
  });
});
