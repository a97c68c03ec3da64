/** @file Conditioning and decoding around a stand-in for the model: what goes in, what comes out. */
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import type { ClipParameters, NoisePlan } from "../../shared/farm/parameters.js";
import { encodeSafetensorsFile, toSafetensorsTensor } from "../../shared/tensor/safetensors.js";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { EULER_DISCRETE_DEFAULTS, planSteps } from "../diffusion/euler-discrete.js";
import { framesToBytes } from "../diffusion/frames.js";
import { createTorchGenerator } from "../diffusion/torch-generator.js";
import type { GraphSpec, Runtime } from "../runtime/runtime.js";
import { runCondition } from "./condition.js";
import { runDecode } from "./decode.js";
import { clipPlace } from "./keys.js";
import type { StageContext } from "./stage-context.js";
import { decodeConditioning, decodeFrames, encodeLatents } from "./tensor-blobs.js";

const [HEIGHT, WIDTH, FRAMES] = [16, 24, 5];
const LATENTS = [FRAMES, 4, 8, 12];
const PICTURE_VALUES = 3 * HEIGHT * WIDTH;
const jobId = "0123456789abcdefghjkmnpqrs";
const place = clipPlace({ jobId, clipId: `${jobId}-1`, epoch: 2 });

const parameters: ClipParameters = {
  ...{ height: HEIGHT, width: WIDTH, numFrames: FRAMES, numInferenceSteps: 3, sigmas: null },
  ...{ minGuidanceScale: 1, maxGuidanceScale: 3, fps: 7, motionBucketId: 127 },
  ...{ guidance: { kind: "linear" as const }, fit: "stretch" as const },
  ...{ noiseAugStrength: 0.02, decodeChunkSize: 2, cacheInterval: 1 },
};
const noise: NoisePlan = {
  ...{ seeds: [3n], imageCount: 1, clipCount: 2, imageIndex: 0, clipIndex: 1 },
  latents: null,
};

/** Only what the stages read of a checkpoint whose pictures are twice as large as its latents. */
const configs = {
  vae: { block_out_channels: [32, 64], latent_channels: 4, scaling_factor: 0.5 },
  image_encoder: { image_size: 224 },
  feature_extractor: { image_mean: [0.5, 0.5, 0.5], image_std: [0.2, 0.2, 0.2] },
  scheduler: EULER_DISCRETE_DEFAULTS,
} as unknown as StageContext["configs"];

function wave(shape: readonly number[], scale = 1): Tensor {
  const length = shape.reduce((a, b) => a * b, 1);
  return tensor(
    shape,
    Float32Array.from({ length }, (_, i) => scale * Math.sin(1 + i)),
  );
}

function setUp(options: { readonly onRun?: (graph: GraphSpec) => void } = {}) {
  const asked: { graph: GraphSpec; inputs: Readonly<Record<string, Tensor>> }[] = [];
  const abort = new AbortController();
  const runtime: Runtime = {
    async run(graph, inputs) {
      asked.push({ graph, inputs });
      options.onRun?.(graph);
      if (graph.module === "image_encoder") return { image_embeds: wave([1, 6]) };
      if (graph.module === "vae_encoder") return { mode: wave([1, 4, 8, 12], 2) };
      if (graph.module === "unet") throw new Error("nobody denoises here");
      return { sample: wave([graph.frames, 3, graph.height * 2, graph.width * 2], 1.2) };
    },
    close: async () => {},
  };
  const blobs = createMemoryBlobs();
  const context: StageContext = { runtime, blobs, configs, signal: abort.signal };
  return { context, blobs, asked, abort };
}

async function samplePicture(): Promise<Uint8Array> {
  const values = Uint8Array.from({ length: 40 * 30 * 3 }, (_, i) => (i * 7) % 256);
  return sharp(values, { raw: { width: 40, height: 30, channels: 3 } })
    .png()
    .toBuffer();
}

describe("condition", () => {
  async function condition(change: Partial<NoisePlan> & { file?: Uint8Array } = {}, set = setUp()) {
    const { file, ...plan } = change;
    const { blobs, context } = set;
    const image = await blobs.put("image", await samplePicture());
    const latents = file === undefined ? null : await blobs.put("file", file);
    const work = { stage: "condition", parameters, image, preview: false } as const;
    const made = await runCondition(
      { ...work, noise: { ...noise, latents, ...plan } },
      place,
      context,
    );
    return { made, result: decodeConditioning(made.bytes), asked: set.asked };
  }
  /** Of the scheduler's defaults: the standard deviation at its first step. */
  const { initNoiseSigma } = planSteps(EULER_DISCRETE_DEFAULTS, { numInferenceSteps: 3 });

  test("leaves embedding, image latents and scaled noise under the clip's key", async () => {
    const { made, result } = await condition();
    expect(made.key).toBe(`v1/${jobId}/1/conditioning-2`);
    expect(result.imageEmbedding).toEqual({ ...wave([1, 6]), shape: [1, 1, 6] });
    expect(result.imageLatents).toEqual({ ...wave([1, 4, 8, 12], 2), shape: [4, 8, 12] });
    expect(result.initialLatents.shape).toEqual(LATENTS);
  });

  test("draws the picture's noise, then the second clip's part of all latents", async () => {
    const { result, asked } = await condition();
    const generator = createTorchGenerator(3n);
    const pictureNoise = generator.randn(PICTURE_VALUES);
    const drawn = generator.randn(2 * 5 * 4 * 8 * 12).slice(5 * 4 * 8 * 12);
    expect(result.initialLatents.data).toEqual(drawn.map((value) => value * initNoiseSigma));

    const still = await condition({ seeds: [4n] });
    const [a, b] = [asked, still.asked].map((runs) => runs[0]!.inputs["x"]!.data);
    const otherNoise = createTorchGenerator(4n).randn(PICTURE_VALUES);
    const difference = a!.map((value, i) => value - b![i]!);
    const expected = pictureNoise.map((value, i) => 0.02 * (value - otherNoise[i]!));
    expect(Math.max(...difference.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(
      1e-6,
    );
  });

  test("takes the clip's part of a latents file, and scales it", async () => {
    const all = wave([2, ...LATENTS]);
    const file = encodeSafetensorsFile([["anything", toSafetensorsTensor(all)]]);
    const { result } = await condition({ file });
    const part = all.data.slice(all.data.length / 2);
    expect(result.initialLatents.data).toEqual(part.map((value) => value * initNoiseSigma));
  });

  const ofShape = (...shape: number[]) => toSafetensorsTensor(wave(shape));
  const wrongFiles: [name: string, file: Uint8Array, message: RegExp][] = [
    [
      "another shape",
      encodeSafetensorsFile([["x", ofShape(1, ...LATENTS)]]),
      /must be \[2, 5, 4, 8, 12\]/,
    ],
    [
      "two nameless tensors",
      encodeSafetensorsFile([
        ["x", ofShape(1)],
        ["y", ofShape(1)],
      ]),
      /2 tensors/,
    ],
    ["no safetensors file", new TextEncoder().encode("not a tensor file"), /latents/],
  ];
  test.each(wrongFiles)(
    "refuses a latents file of %s, before any model work",
    async (_name, file, message) => {
      const set = setUp();
      const failure = condition({ file }, set);
      await expect(failure).rejects.toMatchObject({ code: "invalid-argument" });
      await expect(failure).rejects.toThrow(message);
      expect(set.asked).toEqual([]);
    },
  );

  test("finds the tensor named latents among others: the farm's own output can be fed back", async () => {
    const all = wave([2, ...LATENTS]);
    const file = encodeSafetensorsFile([
      ["frames", ofShape(2, 3)],
      ["latents", toSafetensorsTensor(all)],
    ]);
    const { result } = await condition({ file });
    expect(result.initialLatents.data[0]).toBeCloseTo(
      all.data[all.data.length / 2]! * initNoiseSigma,
      4,
    );
  });

  test("stops between two runs when its task is stopped", async () => {
    const set = setUp({ onRun: () => set.abort.abort() });
    await expect(condition({}, set)).rejects.toMatchObject({ code: "cancelled" });
    expect(set.asked.map(({ graph }) => graph.module)).toEqual(["vae_encoder"]);
  });
});

describe("decode", () => {
  const latents = wave(LATENTS, 3);

  async function decode(change: { firstFrame: number; frameCount: number; keepFloat?: boolean }) {
    const { context, blobs, asked } = setUp();
    const ref = await blobs.put("latents", encodeLatents(latents));
    const work = {
      stage: "decode",
      parameters,
      latents: ref,
      keepFloat: false,
      ...change,
    } as const;
    const chunk = await runDecode(work, place, context);
    return { chunk, frames: decodeFrames(chunk.bytes), asked };
  }

  test("gives the decoder its own frames only, divided by the scaling factor", async () => {
    const { chunk, asked } = await decode({ firstFrame: 2, frameCount: 2 });
    const frameValues = 4 * 8 * 12;
    expect(chunk.key).toBe(`v1/${jobId}/1/chunk-2-2`);
    expect(asked[0]!.graph).toEqual({ module: "vae_decoder", frames: 2, height: 8, width: 12 });
    expect(asked[0]!.inputs["z"]).toEqual({
      shape: [2, 4, 8, 12],
      data: latents.data.slice(2 * frameValues, 4 * frameValues).map((value) => value * 2),
    });
  });

  test("keeps bytes, or floats that make the same bytes", async () => {
    const bytes = (await decode({ firstFrame: 4, frameCount: 1 })).frames;
    const floats = (await decode({ firstFrame: 4, frameCount: 1, keepFloat: true })).frames;
    expect([bytes.dtype, floats.dtype]).toEqual(["U8", "F32"]);
    expect(bytes.shape).toEqual([1, HEIGHT, WIDTH, 3]);
    expect(floats.shape).toEqual(bytes.shape);
    const values = new Float32Array(new Uint8Array(floats.bytes).buffer);
    expect([...framesToBytes(values)]).toEqual([...bytes.bytes]);
    expect(new Set(bytes.bytes).size).toBeGreaterThan(100);
  });

  test.each([
    [4, 2],
    [-1, 1],
    [0, 0],
    [0, 6],
  ])(
    "refuses frames that the clip does not have: %i and %i more",
    async (firstFrame, frameCount) => {
      const failure = decode({ firstFrame, frameCount });
      await expect(failure).rejects.toMatchObject({ code: "invalid-argument" });
    },
  );
});

describe("a blob that is something else is corrupt:", () => {
  const wrong = new TextEncoder().encode("{}");
  const other = encodeLatents(wave(LATENTS));
  test.each([
    ["conditioning", () => decodeConditioning(wrong)],
    ["conditioning that is latents", () => decodeConditioning(other)],
    ["frames", () => decodeFrames(wrong)],
    ["frames that are latents", () => decodeFrames(other)],
  ])("%s", (_name, read) => {
    expect(read).toThrow("[blob-corrupt]");
  });
});
