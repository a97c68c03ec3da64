/** @file Whole clips through all stages in one process, against what diffusers made of the same calls. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type InProcessRuntime,
  openInProcessRuntime,
} from "../../gpu-node/runtime/in-process-runtime.js";
import type { Runtime } from "../../gpu-node/runtime/runtime.js";
import { runCondition } from "../../gpu-node/stages/condition.js";
import { runDecode } from "../../gpu-node/stages/decode.js";
import { createReplica } from "../../gpu-node/stages/denoise-maths.js";
import { latentsKey } from "../../gpu-node/stages/keys.js";
import { runMux } from "../../gpu-node/stages/mux.js";
import { decodeConditioning, encodeLatents } from "../../gpu-node/stages/tensor-blobs.js";
import { type ClipParameters, type NoisePlan, planChunks } from "../../shared/farm/parameters.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import { decodeTensors } from "../../shared/tensor/safetensors.js";
import type { Tensor } from "../../shared/tensor/tensor.js";
import { createMemoryBlobs } from "./memory-blobs.js";
import { goldenPath, goldenTensor, maxDifference, readGolden } from "./read-golden.js";

/** A pipeline call as call.json holds it; what is missing has diffusers' default. */
interface Call {
  readonly images: readonly string[];
  readonly seeds?: readonly number[];
  readonly one_seed?: number;
  readonly height: number;
  readonly width: number;
  readonly num_frames?: number;
  readonly num_inference_steps?: number;
  readonly sigmas?: readonly number[];
  readonly min_guidance_scale?: number;
  readonly max_guidance_scale?: number;
  readonly fps?: number;
  readonly motion_bucket_id?: number;
  readonly noise_aug_strength?: number;
  readonly decode_chunk_size?: number;
  readonly num_videos_per_prompt?: number;
}

const cases = readdirSync(goldenPath(""))
  .filter((name) => existsSync(goldenPath(`${name}/runs`)))
  .map((name) => ({ name, runs: readdirSync(goldenPath(`${name}/runs`)) }));

/** The golden folder's own checkpoint, or the one of that name that the project ships. */
function checkpointOf(name: string): string {
  const own = goldenPath(`${name}/checkpoint`);
  return existsSync(own) ? own : join(import.meta.dirname, "../../checkpoints", name);
}

function parametersOf(call: Call, numFrames: number): ClipParameters {
  return {
    height: call.height,
    width: call.width,
    numFrames,
    numInferenceSteps: call.sigmas === undefined ? (call.num_inference_steps ?? 25) : null,
    sigmas: call.sigmas ?? null,
    minGuidanceScale: call.min_guidance_scale ?? 1,
    maxGuidanceScale: call.max_guidance_scale ?? 3,
    guidance: { kind: "linear" },
    fit: "stretch",
    fps: call.fps ?? 7,
    motionBucketId: call.motion_bucket_id ?? 127,
    noiseAugStrength: call.noise_aug_strength ?? 0.02,
    decodeChunkSize: call.decode_chunk_size ?? numFrames,
    cacheInterval: 1,
  };
}

function noisePlansOf(call: Call): NoisePlan[] {
  const imageCount = call.images.length;
  const perImage = call.num_videos_per_prompt ?? 1;
  const seeds = (call.seeds ?? [call.one_seed!]).map(BigInt);
  return Array.from({ length: imageCount * perImage }, (_, clipIndex) => ({
    ...{ seeds, imageCount, clipCount: imageCount * perImage, latents: null },
    ...{ clipIndex, imageIndex: Math.floor(clipIndex / perImage) },
  }));
}

/** A runtime that also keeps the last picture that went into the VAE's encoder. */
function watched(runtime: Runtime) {
  const seen: { noisedImage: Tensor | null } = { noisedImage: null };
  const spy: Runtime = {
    run(graph, inputs) {
      if (graph.module === "vae_encoder") seen.noisedImage = inputs["x"]!;
      return runtime.run(graph, inputs);
    },
    close: () => runtime.close(),
  };
  return { spy, seen };
}

interface RenderedClip {
  readonly imageEmbedding: Tensor;
  readonly noisedImage: Tensor;
  readonly imageLatents: Tensor;
  readonly initialLatents: Tensor;
  readonly sigmas: Float32Array;
  readonly timesteps: Float32Array;
  /** After every step. */
  readonly latents: readonly Tensor[];
  readonly frames: Tensor;
}

const jobId = "0123456789abcdefghjkmnpqrs";

async function renderClip(
  { runtime, blobs, image }: { runtime: InProcessRuntime; blobs: BlobStore; image: Uint8Array },
  parameters: ClipParameters,
  noise: NoisePlan,
): Promise<RenderedClip> {
  const place = { jobId, clipIndex: noise.clipIndex, epoch: 1 };
  const signal = new AbortController().signal;
  const { configs, model } = runtime.info;
  const { spy, seen } = watched(runtime);
  const context = { runtime: spy, blobs, configs, signal };

  const imageRef = await blobs.put(`image-${noise.imageIndex}`, image);
  const condition = { stage: "condition", parameters, noise, image: imageRef } as const;
  const conditioning = await runCondition({ ...condition, preview: false }, place, context);

  const decoded = decodeConditioning(conditioning.bytes);
  const replica = createReplica(decoded, parameters, configs.scheduler);
  const latents: Tensor[] = [];
  while (replica.step < replica.stepCount) {
    const answers: Tensor[] = [];
    for (const half of replica.halves) {
      const { out_sample } = await runtime.run(replica.graph, replica.unetInputs(half));
      answers.push(out_sample!);
    }
    replica.apply(answers.length === 2 ? answers[0]! : null, answers.at(-1)!);
    latents.push(replica.latents);
  }
  const latentsRef = await blobs.put(latentsKey(place), encodeLatents(replica.latents));

  const chunks = [];
  for (const chunk of planChunks(parameters.numFrames, parameters.decodeChunkSize)) {
    const decode = { stage: "decode", parameters, latents: latentsRef, keepFloat: true } as const;
    const made = await runDecode({ ...decode, ...chunk }, place, context);
    chunks.push(await blobs.put(made.key, made.bytes));
  }
  const mux = {
    stage: "mux",
    parameters,
    chunks,
    latents: latentsRef,
    noise,
    branch: null,
  } as const;
  const [output] = await runMux(
    { ...mux, formats: ["safetensors"], modelDigest: model.digest, modelName: model.name },
    place,
    { blobs, ffmpeg: null, version: "0", signal },
  );
  const file = decodeTensors(await blobs.get(output!.blob));
  expect(file.get("latents")).toEqual(replica.latents);

  return {
    imageEmbedding: decoded.imageEmbedding,
    noisedImage: seen.noisedImage!,
    imageLatents: decoded.imageLatents,
    initialLatents: decoded.initialLatents,
    sigmas: replica.table.sigmas,
    timesteps: replica.table.timesteps,
    latents,
    frames: file.get("frames")!,
  };
}

describe.each(cases)("$name", ({ name, runs }) => {
  let runtime: InProcessRuntime;
  beforeAll(async () => {
    const checkpointDir = checkpointOf(name);
    runtime = await openInProcessRuntime({ checkpointDir, provider: "cpu", intraOpThreads: 1 });
  });
  afterAll(() => runtime.close());

  test.each(runs)("%s", async (run) => {
    const folder = goldenPath(`${name}/runs/${run}`);
    const call = JSON.parse(readFileSync(join(folder, "call.json"), "utf8")) as Call;
    const expected = readGolden(join(folder, "expected.safetensors"));
    const parameters = parametersOf(call, call.num_frames ?? runtime.info.model.numFrames);
    const plans = noisePlansOf(call);
    const blobs = createMemoryBlobs();

    const clips: RenderedClip[] = [];
    for (const plan of plans) {
      const image = readFileSync(join(folder, call.images[plan.imageIndex]!));
      clips.push(await renderClip({ runtime, blobs, image }, parameters, plan));
    }

    const guided = parameters.maxGuidanceScale > 1;
    const golden = (tensorName: string) => goldenTensor(expected, tensorName).data;
    /** Clip i's part of a batch; with guidance the batch may begin with its unconditional half. */
    const partOf = (tensorName: string, i: number, count: number, hasUncond = false) => {
      const values = golden(tensorName);
      const conditional = hasUncond && guided ? values.subarray(values.length / 2) : values;
      const length = conditional.length / count;
      return conditional.subarray(i * length, (i + 1) * length);
    };
    for (const [i, clip] of clips.entries()) {
      const n = clips.length;
      const embeddings = partOf("image_embeddings", i, n, true);
      expect(relative(clip.imageEmbedding.data, embeddings)).toBeLessThanOrEqual(2e-5);
      const noised = partOf("noised_image", plans[i]!.imageIndex, call.images.length);
      expect(maxDifference(clip.noisedImage.data, noised)).toBeLessThanOrEqual(1e-6);
      const imageLatents = partOf("image_latents", i, n, true);
      expect(relative(clip.imageLatents.data, imageLatents)).toBeLessThanOrEqual(2e-5);
      const initial = partOf("initial_latents", i, n);
      expect(relative(clip.initialLatents.data, initial)).toBeLessThanOrEqual(1e-6);
      expect(relative(clip.sigmas, golden("sigmas"))).toBeLessThanOrEqual(1e-6);
      expect(maxDifference(clip.timesteps, golden("timesteps"))).toBeLessThanOrEqual(1e-5);

      for (const [step, latents] of clip.latents.entries()) {
        const after = partOf(`latents_after_step_${step}`, i, n);
        expect(relative(latents.data, after)).toBeLessThanOrEqual(2e-4);
      }
      const frames = partOf("frames", i, n);
      expect(maxDifference(clip.frames.data, frames)).toBeLessThanOrEqual(5e-4);
      expect(meanDifference(clip.frames.data, frames)).toBeLessThanOrEqual(2e-5);
    }
    const [, frames, height, width] = goldenTensor(expected, "frames").shape;
    expect(clips.map((clip) => clip.frames.shape)).toEqual(
      clips.map(() => [frames, height, width, 3]),
    );
    expect(expected.has(`latents_after_step_${clips[0]!.latents.length}`)).toBe(false);
  });
});

/** The largest difference, in parts of the reference's largest value. */
function relative(actual: Float32Array, expected: Float32Array): number {
  const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return maxDifference(actual, expected) / largest;
}

function meanDifference(actual: Float32Array, expected: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < expected.length; i++) sum += Math.abs(actual[i]! - expected[i]!);
  return sum / expected.length;
}
