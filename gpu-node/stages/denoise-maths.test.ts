import { describe, expect, test } from "vitest";
import type { ClipParameters } from "../../shared/farm/parameters.js";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { EULER_DISCRETE_DEFAULTS, type EulerDiscreteConfig } from "../diffusion/euler-discrete.js";
import {
  createReplica,
  type DenoiseReplica,
  latentsDigest,
  latentsDigestInTurns,
} from "./denoise-maths.js";
import type { Conditioning } from "./tensor-blobs.js";

const FRAMES = 3;
const CELLS = 2 * 3;
const SHAPE = [FRAMES, 4, 2, 3];

const config: EulerDiscreteConfig = {
  ...EULER_DISCRETE_DEFAULTS,
  ...{ prediction_type: "v_prediction", timestep_type: "continuous", use_karras_sigmas: true },
  ...{ sigma_min: 0.002, sigma_max: 700, timestep_spacing: "leading" },
};
const guided: ClipParameters = {
  ...{ height: 16, width: 24, numFrames: FRAMES, numInferenceSteps: 4, sigmas: null },
  ...{ minGuidanceScale: 1, maxGuidanceScale: 3, fps: 7, motionBucketId: 127 },
  ...{ guidance: { kind: "linear" as const }, fit: "stretch" as const },
  ...{ noiseAugStrength: 0.02, decodeChunkSize: 3, cacheInterval: 1 },
};
const unguided: ClipParameters = { ...guided, maxGuidanceScale: 1 };
const conditioning: Conditioning = {
  imageEmbedding: wave([1, 1, 5], 0.3),
  imageLatents: wave([4, 2, 3], 0.7),
  initialLatents: wave(SHAPE, 700),
};

function wave(shape: readonly number[], scale: number): Tensor {
  const length = shape.reduce((a, b) => a * b, 1);
  return tensor(
    shape,
    Float32Array.from({ length }, (_, i) => scale * Math.sin(1 + i)),
  );
}

/** Stands in for the UNet: any function of all its inputs. */
function answer(inputs: Record<string, Tensor>): Tensor {
  const { sample, timestep, encoder_hidden_states: states } = inputs;
  const bias = timestep!.data[0]! + states!.data.reduce((a, b) => a + b, 0);
  const data = new Float32Array(FRAMES * 4 * CELLS);
  for (let i = 0; i < data.length; i++) {
    const [frame, rest] = [Math.floor(i / (4 * CELLS)), i % (4 * CELLS)];
    const at = frame * 8 * CELLS + rest;
    data[i] = Math.tanh(sample!.data[at]! + sample!.data[at + 4 * CELLS]! + bias);
  }
  return tensor([1, ...SHAPE], data);
}

function stepOnce(replica: DenoiseReplica): void {
  const uncond = replica.halves.length === 2 ? answer(replica.unetInputs("uncond")) : null;
  replica.apply(uncond, answer(replica.unetInputs("cond")));
}

describe("the UNet is asked", () => {
  const replica = createReplica(conditioning, guided, config);
  const cond = replica.unetInputs("cond");
  const uncond = replica.unetInputs("uncond");

  test("with shapes of a batch of one", () => {
    expect(Object.entries(cond).map(([name, { shape }]) => [name, shape])).toEqual([
      ["sample", [1, FRAMES, 8, 2, 3]],
      ["timestep", [1]],
      ["encoder_hidden_states", [1, 1, 5]],
      ["added_time_ids", [1, 3]],
    ]);
    expect(replica.graph).toEqual({ module: "unet", frames: FRAMES, height: 2, width: 3 });
  });

  test("with the image's latents beside the scaled noise in every frame", () => {
    const scale = Math.sqrt(replica.table.sigmas[0]! ** 2 + 1);
    for (let frame = 0; frame < FRAMES; frame++) {
      const values = cond["sample"]!.data.subarray(frame * 8 * CELLS, (frame + 1) * 8 * CELLS);
      const noise = conditioning.initialLatents.data.subarray(frame * 4 * CELLS);
      expect(values[5]).toBeCloseTo(noise[5]! / scale, 6);
      expect(values.slice(4 * CELLS)).toEqual(conditioning.imageLatents.data);
    }
  });

  test("in the unconditional half without picture and without embedding, else the same", () => {
    for (let frame = 0; frame < FRAMES; frame++) {
      const at = frame * 8 * CELLS;
      const part = (inputs: typeof cond, from: number, to: number) =>
        inputs["sample"]!.data.slice(at + from, at + to);
      expect(part(uncond, 4 * CELLS, 8 * CELLS)).toEqual(new Float32Array(4 * CELLS));
      expect(part(uncond, 0, 4 * CELLS)).toEqual(part(cond, 0, 4 * CELLS));
    }
    expect(uncond["encoder_hidden_states"]!.data).toEqual(new Float32Array(5));
    expect(uncond["timestep"]).toEqual(cond["timestep"]);
    expect(uncond["added_time_ids"]!.data).toEqual(Float32Array.of(6, 127, 0.02));
  });

  test("without guidance for the conditional half only", () => {
    expect(createReplica(conditioning, unguided, config).halves).toEqual(["cond"]);
  });
});

describe.each([
  ["guided", guided],
  ["unguided", unguided],
])("a %s clip", (_name, parameters) => {
  test("goes on from any step with the same bytes", () => {
    const whole = createReplica(conditioning, parameters, config);
    const states = [{ step: 0, latents: whole.latents }];
    while (whole.step < whole.stepCount) {
      stepOnce(whole);
      states.push({ step: whole.step, latents: whole.latents });
    }
    for (const state of states) {
      const resumed = createReplica(conditioning, parameters, config, state);
      while (resumed.step < resumed.stepCount) stepOnce(resumed);
      expect(resumed.digest()).toBe(whole.digest());
    }
    expect(new Set(states.map(({ latents }) => latentsDigest(latents))).size).toBe(states.length);
  });

  test("leaves the latents of earlier steps as they were", () => {
    const replica = createReplica(conditioning, parameters, config);
    const before = latentsDigest(conditioning.initialLatents);
    stepOnce(replica);
    expect(latentsDigest(conditioning.initialLatents)).toBe(before);
    expect(replica.latents.shape).toEqual(SHAPE);
  });
});

test("own sigmas make one step less than there are sigmas", () => {
  const sigmas = [700, 80, 12, 2, 0.3];
  const parameters = { ...guided, numInferenceSteps: null, sigmas };
  const replica = createReplica(conditioning, parameters, config);
  expect(replica.stepCount).toBe(4);
  expect([...replica.table.sigmas]).toEqual(sigmas.map(Math.fround));
});

test.each([
  ["a step beyond the last", { step: 5, latents: wave(SHAPE, 1) }, "invalid-argument"],
  ["a negative step", { step: -1, latents: wave(SHAPE, 1) }, "invalid-argument"],
  ["half a step", { step: 1.5, latents: wave(SHAPE, 1) }, "invalid-argument"],
  ["latents of another shape", { step: 1, latents: wave([2, 4, 2, 3], 1) }, "blob-corrupt"],
])("%s is no place to go on from", (_name, from, code) => {
  expect(() => createReplica(conditioning, guided, config, from)).toThrow(`[${code}]`);
});

test.each([
  ["other frames", { ...conditioning, initialLatents: wave([2, 4, 2, 3], 1) }],
  ["another size of the picture", { ...conditioning, imageLatents: wave([4, 3, 2], 1) }],
  ["two embeddings", { ...conditioning, imageEmbedding: wave([2, 1, 5], 1) }],
])("conditioning of %s is refused", (_name, wrong) => {
  expect(() => createReplica(wrong, guided, config)).toThrow("[blob-corrupt]");
});

test.each([1, 65_535, 65_536, 65_537, 921_600])(
  "the digest of %i values is the same in turns",
  async (length) => {
    const values = wave([length], 1);
    expect(await latentsDigestInTurns(values)).toBe(latentsDigest(values));
  },
);

test("a digest in turns lets what is ready go first, and what becomes ready come between", async () => {
  let turns = 0;
  let isDone = false;
  const turn = () => {
    turns += 1;
    if (!isDone) setImmediate(turn);
  };
  const digest = latentsDigestInTurns(wave([4 * 65_536], 1)).then(() => {
    isDone = true;
  });
  setImmediate(turn);
  await digest;
  expect(turns).toBeGreaterThanOrEqual(3);
});
