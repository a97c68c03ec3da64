import { describe, expect, test } from "vitest";
import { stepsMade } from "../../shared/farm/parameters.js";
import {
  goldenTensor,
  maxRelativeDifference,
  readGolden,
  readGoldenJson,
} from "../../test/golden/read-golden.js";
import {
  customSigmasProblem,
  EULER_DISCRETE_DEFAULTS,
  type EulerDiscreteConfig,
  eulerConfigProblems,
  planSteps,
  type StepRequest,
  type StepTable,
  stepRuleOf,
} from "./euler-discrete.js";
import { eulerStep, scaleInitialNoise, scaleModelInput } from "./euler-step.js";

interface ScheduleCase {
  readonly key: string;
  readonly config: Partial<EulerDiscreteConfig>;
  readonly init_noise_sigma: number;
  readonly num_inference_steps?: number;
  readonly sigmas?: number[];
}

const TOLERANCE = 1e-5;
const svd: EulerDiscreteConfig = {
  ...EULER_DISCRETE_DEFAULTS,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  prediction_type: "v_prediction",
  sigma_max: 700,
  sigma_min: 0.002,
  steps_offset: 1,
  timestep_spacing: "leading",
  timestep_type: "continuous",
  use_karras_sigmas: true,
};

function configOf(spec: ScheduleCase): EulerDiscreteConfig {
  return { ...EULER_DISCRETE_DEFAULTS, ...spec.config };
}

function requestOf(spec: ScheduleCase): StepRequest {
  if (spec.sigmas !== undefined) return { sigmas: spec.sigmas };
  return { numInferenceSteps: spec.num_inference_steps! };
}

/** All steps with a stand-in model, applied to each value of the scaled input. */
function runSteps(
  config: EulerDiscreteConfig,
  table: StepTable,
  start: Float32Array,
  model: (x: number) => number,
): Float32Array {
  const latents = start.slice();
  const output = new Float32Array(latents.length);
  for (let i = 0; i < table.timesteps.length; i++) {
    const [sigma, sigmaNext] = [table.sigmas[i]!, table.sigmas[i + 1]!];
    scaleModelInput(latents, sigma, output, "float32");
    const modelOutput = output.map(model);
    const predictionType = config.prediction_type;
    const noise = { sigma, sigmaNext, predictionType, dtype: "float32" } as const;
    eulerStep({ ...noise, modelOutput, latents, out: latents });
  }
  return latents;
}

describe.each([
  ["SVD's own schedules", "parts/euler", (x: number) => Math.fround(Math.tanh(x)) * 0.5],
  ["every other option", "schedulers/schedules", (x: number) => x / Math.fround(1 + Math.abs(x))],
])("step tables equal EulerDiscreteScheduler's: %s", (_name, path, model) => {
  const golden = readGolden(`${path}.safetensors`);

  test.each(readGoldenJson<ScheduleCase[]>(`${path}.json`))("$key", (spec) => {
    const config = configOf(spec);
    const table = planSteps(config, requestOf(spec));
    const timesteps = goldenTensor(golden, `${spec.key}/timesteps`).data;
    const sigmas = goldenTensor(golden, `${spec.key}/sigmas`).data.slice(0, timesteps.length + 1);
    const start =
      golden.get(`${spec.key}/x0`)?.data ??
      scaleInitialNoise(goldenTensor(golden, "noise").data, table.initNoiseSigma);
    const end = runSteps(config, table, start, model);

    expect(maxRelativeDifference(table.sigmas, sigmas)).toBeLessThanOrEqual(TOLERANCE);
    expect(maxRelativeDifference(table.timesteps, timesteps)).toBeLessThanOrEqual(TOLERANCE);
    expect(Math.abs(table.initNoiseSigma / spec.init_noise_sigma - 1)).toBeLessThanOrEqual(
      TOLERANCE,
    );
    const expected = goldenTensor(golden, `${spec.key}/x_end`).data;
    expect(maxRelativeDifference(end, expected)).toBeLessThanOrEqual(TOLERANCE);
  });
});

describe("custom noise levels", () => {
  test("n levels make n - 1 steps, and no zero is appended", () => {
    const table = planSteps(svd, { sigmas: [700, 80, 0.5] });
    expect([...table.sigmas]).toEqual([700, 80, 0.5]);
    expect(table.timesteps).toHaveLength(2);
  });

  test.each<[string, number[], string]>([
    ["none", [], "0 noise levels; at least 2"],
    ["one", [5], "1 noise levels; at least 2"],
    ["a zero before the end", [5, 0, 1], "noise level 1 is 0"],
    ["a number that is zero in float32", [5, 1e-60, 0], "noise level 1 is 1e-60"],
    ["a negative one", [5, -1], "noise level 1 is -1"],
    ["not a number", [Number.NaN, 0], "noise level 0 is NaN"],
    ["an absurd one", [1e30, 0], "legal is 0..1000000000"],
  ])("%s: refused", (_name, sigmas, problem) => {
    expect(customSigmasProblem(sigmas)).toContain(problem);
    expect(() => planSteps(svd, { sigmas })).toThrow(problem);
  });
});

test.each([0, -1, 2.5, Number.NaN, Number.POSITIVE_INFINITY])("%s steps: refused", (count) => {
  expect(() => planSteps(svd, { numInferenceSteps: count })).toThrow(
    `[invalid-argument] num_inference_steps: ${count}`,
  );
});

describe("a config without a usable schedule is refused, and the field is named", () => {
  test.each<[keyof EulerDiscreteConfig, Partial<EulerDiscreteConfig>]>([
    ["num_train_timesteps", { num_train_timesteps: 1 }],
    ["beta_start", { beta_start: -0.1 }],
    ["beta_end", { beta_end: 1 }],
    ["trained_betas", { trained_betas: [0.1, Number.NaN] }],
    ["steps_offset", { steps_offset: 0.5 }],
    ["sigma_min", { sigma_min: 0 }],
    ["sigma_min", { sigma_min: 701 }],
    ["sigma_max", { sigma_max: Number.POSITIVE_INFINITY }],
    ["use_beta_sigmas", { use_beta_sigmas: true }],
  ])("%s: %o", (field, change) => {
    const config = { ...svd, ...change };
    expect(eulerConfigProblems(config).map((problem) => problem.field)).toEqual([field]);
    expect(() => planSteps(config, { numInferenceSteps: 4 })).toThrow(
      `[checkpoint-invalid] scheduler config: ${field}`,
    );
  });

  test("when only the resulting noise levels show it", () => {
    const config = { ...EULER_DISCRETE_DEFAULTS, trained_betas: [0, 0, 0.1] };
    expect(eulerConfigProblems(config)).toEqual([]);
    expect(() => planSteps(config, { numInferenceSteps: 3 })).toThrow("[checkpoint-invalid]");
  });

  test("all wrong fields are named at once", () => {
    const config = { ...svd, beta_start: 2, beta_end: 2, sigma_max: -1, sigma_min: null };
    const fields = eulerConfigProblems(config).map((problem) => problem.field);
    expect(fields).toEqual(["beta_start", "beta_end", "sigma_max"]);
  });
});

describe("the rule that tells others how many steps there will be", () => {
  const configs: [name: string, change: Partial<EulerDiscreteConfig>][] = [
    ["plain", {}],
    ["trailing", { timestep_spacing: "trailing" }],
    ["trailing, continuous", { timestep_spacing: "trailing", timestep_type: "continuous" }],
    ["log_linear", { interpolation_type: "log_linear" }],
    ["log_linear, continuous", { interpolation_type: "log_linear", timestep_type: "continuous" }],
    ["log_linear, trailing", { interpolation_type: "log_linear", timestep_spacing: "trailing" }],
    [
      "log_linear, continuous, trailing",
      {
        interpolation_type: "log_linear",
        timestep_type: "continuous",
        timestep_spacing: "trailing",
      },
    ],
    ["karras, trailing", { use_karras_sigmas: true, timestep_spacing: "trailing" }],
  ];
  test.each(configs)("%s", (_name, change) => {
    const config: EulerDiscreteConfig = {
      ...{ ...svd, sigma_min: null, sigma_max: null, use_karras_sigmas: false },
      ...{ timestep_type: "discrete", ...change },
    };
    const model = { stepRule: stepRuleOf(config), numTrainTimesteps: config.num_train_timesteps };
    for (const numInferenceSteps of [1, 2, 10, 25, 60, 61, 62, 103, 999]) {
      const made = planSteps(config, { numInferenceSteps }).timesteps.length;
      expect([numInferenceSteps, stepsMade({ numInferenceSteps, sigmas: null }, model)]).toEqual([
        numInferenceSteps,
        made,
      ]);
    }
    expect(stepsMade({ numInferenceSteps: null, sigmas: [700, 1, 0] }, model)).toBe(2);
  });
});
