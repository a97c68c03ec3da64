/**
 * @file A checkpoint of Stable Video Diffusion's full size with random weights in float16, written
 * once into the cache folder: 4.5 GB.
 */
import { createHash } from "node:crypto";
import { access, cp, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { createTorchGenerator } from "../../gpu-node/diffusion/torch-generator.js";
import { readImageEncoderConfig } from "../../gpu-node/model/configs/image-encoder-config.js";
import { readUnetConfig } from "../../gpu-node/model/configs/unet-config.js";
import { readVaeConfig } from "../../gpu-node/model/configs/vae-config.js";
import {
  impliedParameters,
  type ModelConfigs,
  structureText,
} from "../../gpu-node/model/structure.js";
import type { WeightEntry, WeightIndex } from "../../gpu-node/model/weights.js";
import { float32ToFloat16 } from "../../shared/tensor/float16.js";
import { encodeSafetensorsHeader } from "../../shared/tensor/safetensors.js";
import { elementCount } from "../../shared/tensor/tensor.js";
import { cacheFolder } from "../diffusers/python-environment.js";
import { root } from "../subjects.js";

/** Changes when what is written does. */
const RECIPE = 1;
/** Random numbers that all parameters share, each from a place of its own: 2^22 + 3 of them. */
const BLOCK = 2 ** 22 + 3;
/** Values converted at a time. */
const PIECE = 2 ** 20;

/** The configs of a published checkpoint, as the project keeps them. */
function presetFolder(name: string): string {
  return join(root, "test", "presets", name);
}

async function readPreset(name: string): Promise<ModelConfigs> {
  const read = async (component: string): Promise<unknown> =>
    JSON.parse(await readFile(join(presetFolder(name), component, "config.json"), "utf8"));
  return {
    unet: readUnetConfig(await read("unet")),
    vae: readVaeConfig(await read("vae")),
    image_encoder: readImageEncoderConfig(await read("image_encoder")),
  };
}

/** The folder of the checkpoint, written at the first call; the same bytes on every machine. */
export async function fullSizeCheckpoint(preset: string): Promise<string> {
  const parameters = impliedParameters(await readPreset(preset), "F16");
  const structure = createHash("sha256").update(`${RECIPE}\n${structureText(parameters)}`);
  const name = `full-size-${preset}-${structure.digest("hex").slice(0, 12)}`;
  const folder = join(cacheFolder(), name);
  const isThere = await access(folder).then(
    () => true,
    () => false,
  );
  if (isThere) return folder;
  process.stderr.write(`writing ${folder}: 4.5 GB, once\n`);
  const part = `${folder}.part`;
  await rm(part, { recursive: true, force: true });
  await mkdir(cacheFolder(), { recursive: true });
  await cp(presetFolder(preset), part, { recursive: true });
  const block = createTorchGenerator(1).randn(BLOCK);
  for (const [component, index] of Object.entries(parameters)) {
    const base = component === "image_encoder" ? "model" : "diffusion_pytorch_model";
    await writeComponent(join(part, component, `${base}.fp16.safetensors`), index, block);
  }
  await rename(part, folder);
  return folder;
}

async function writeComponent(
  path: string,
  index: WeightIndex,
  block: Float32Array,
): Promise<void> {
  const specs = [...index.values()].map(
    ({ name, shape }) => [name, { dtype: "F16" as const, shape }] as const,
  );
  const { header, entries } = encodeSafetensorsHeader(specs, { format: "pt" });
  const file = await open(path, "w");
  try {
    await file.write(header);
    let at = 0;
    for (const { name } of entries) {
      at = (at + 7_919) % BLOCK;
      for (const piece of pieces(index.get(name)!, block, at)) await file.write(piece);
    }
  } finally {
    await file.close();
  }
}

/** The bytes of one parameter: of such a size that a layer keeps the size of what goes through. */
function* pieces(entry: WeightEntry, block: Float32Array, start: number): Generator<Uint8Array> {
  const { name, shape } = entry;
  const count = elementCount(shape);
  const isMatrix = shape.length > 1;
  const scale = isMatrix ? 1 / Math.sqrt(count / shape[0]!) : 0.1;
  const shift = !isMatrix && /norm[^.]*\.weight$/.test(name) ? 1 : 0;
  for (let done = 0; done < count; done += PIECE) {
    const values = new Float32Array(Math.min(PIECE, count - done));
    for (let i = 0; i < values.length; i++) {
      values[i] = shift + scale * block[(start + done + i) % BLOCK]!;
    }
    const bits = float32ToFloat16(values);
    yield new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
  }
}
