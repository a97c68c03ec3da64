/** @file One call of each module of every golden checkpoint, against what diffusers computed. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Checkpoint, openCheckpoint } from "../../gpu-node/checkpoint/open-checkpoint.js";
import {
  buildVaeDecoder,
  buildVaeEncoder,
} from "../../gpu-node/model/autoencoder-kl-temporal-decoder.js";
import { buildImageEncoder } from "../../gpu-node/model/clip-vision.js";
import type { BuiltGraph } from "../../gpu-node/model/graph.js";
import { buildUnet } from "../../gpu-node/model/unet-spatio-temporal-condition.js";
import { openSession, type Session } from "../../gpu-node/runtime/session.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { goldenPath, goldenTensor, maxRelativeDifference, readGolden } from "./read-golden.js";

/** Room for rounding (about 1e-6 here), none for another formula. */
const TOLERANCE = 2e-5;

/** Every golden folder with module calls: its own checkpoint, or the project's of the same name. */
const cases = readdirSync(goldenPath(""))
  .filter((name) => existsSync(goldenPath(`${name}/modules.safetensors`)))
  .map((name) => {
    const own = goldenPath(`${name}/checkpoint`);
    const shipped = join(import.meta.dirname, "../../checkpoints", name);
    return { name, folder: existsSync(own) ? own : shipped };
  });

test("the checkpoints of the reference are there", () => {
  const names = cases.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(["demo", "svd-shaped-fp16", "two-level"]));
});

describe.each(cases)("$name", ({ name, folder }) => {
  const golden = readGolden(`${name}/modules.safetensors`);
  const expected = (key: string): Tensor => goldenTensor(golden, key);
  const batch = (key: string): number[] => upTo(expected(key).shape[0]!);
  const sessions: Session[] = [];
  let checkpoint: Checkpoint;

  const open = async (graph: BuiltGraph, component: "unet" | "vae" | "image_encoder") => {
    const settings = { provider: "cpu", intraOpThreads: 1 } as const;
    const session = await openSession(graph, checkpoint.components[component].folder, settings);
    sessions.push(session);
    return session;
  };

  beforeAll(async () => {
    checkpoint = await openCheckpoint(folder);
  });
  afterAll(() => Promise.all(sessions.map((session) => session.close())));

  test("the UNet, one half at a time", async () => {
    const [, frames, , height, width] = expected("unet.sample").shape as number[];
    const size = { frames: frames!, height: height!, width: width! };
    const { weights } = checkpoint.components.unet;
    const session = await open(buildUnet(checkpoint.configs.unet, weights, size), "unet");
    for (const half of batch("unet.sample")) {
      const { out_sample } = await session.run({
        sample: row(expected("unet.sample"), half),
        timestep: expected("unet.timestep"),
        encoder_hidden_states: row(expected("unet.encoder_hidden_states"), half),
        added_time_ids: row(expected("unet.added_time_ids"), half),
      });
      expectEqual(out_sample!, row(expected("unet.out"), half));
    }
  });

  test("the VAE's encoder", async () => {
    const [, , height, width] = expected("vae.image").shape as number[];
    const { weights } = checkpoint.components.vae;
    const size = { height: height!, width: width! };
    const session = await open(buildVaeEncoder(checkpoint.configs.vae, weights, size), "vae");
    const { mode } = await session.run({ x: expected("vae.image") });
    expectEqual(mode!, expected("vae.mode"));
  });

  test.each([5, 1])("the VAE's decoder, a chunk of %i", async (frames) => {
    const [, , height, width] = expected("vae.latents").shape as number[];
    const { weights } = checkpoint.components.vae;
    const size = { frames, height: height!, width: width! };
    const session = await open(buildVaeDecoder(checkpoint.configs.vae, weights, size), "vae");
    const { sample } = await session.run({ z: rows(expected("vae.latents"), 0, frames) });
    expectEqual(sample!, expected(`vae.decoded_chunk${frames}`));
  });

  test("the image encoder, one picture at a time", async () => {
    const { weights } = checkpoint.components.image_encoder;
    const graph = buildImageEncoder(checkpoint.configs.image_encoder, weights);
    const session = await open(graph, "image_encoder");
    for (const picture of batch("clip.pixel_values")) {
      const { image_embeds } = await session.run({
        pixel_values: row(expected("clip.pixel_values"), picture),
      });
      expectEqual(image_embeds!, row(expected("clip.image_embeds"), picture));
    }
  });
});

function expectEqual(actual: Tensor, expected: Tensor): void {
  expect(actual.shape).toEqual(expected.shape);
  expect(maxRelativeDifference(actual.data, expected.data)).toBeLessThan(TOLERANCE);
}

/** Entry i of the batch, as a batch of one. */
function row(batch: Tensor, i: number): Tensor {
  return rows(batch, i, i + 1);
}

function rows(batch: Tensor, begin: number, end: number): Tensor {
  const [, ...rest] = batch.shape;
  const size = elementCount(rest);
  return tensor([end - begin, ...rest], batch.data.slice(begin * size, end * size));
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
