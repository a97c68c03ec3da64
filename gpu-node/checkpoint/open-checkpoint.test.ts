import { copyFileSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { decodeTensors, toFloat32 } from "../../shared/tensor/safetensors.js";
import { editTensors, TestFolders } from "../../test/golden/checkpoint-folders.js";
import { goldenPath } from "../../test/golden/read-golden.js";
import { describeCheckpoint, summarizeWeights } from "./describe-checkpoint.js";
import { openCheckpoint } from "./open-checkpoint.js";

const folders = new TestFolders();
afterAll(() => folders.remove());

const UNET = "unet/diffusion_pytorch_model";
const UNET_INDEX = `${UNET}.safetensors.index.fp16.json`;
const CLIP = "image_encoder/model.fp16.safetensors";

describe("a whole checkpoint", () => {
  const goldens: [name: string, variant: string, dtypes: string[], unetFiles: number][] = [
    ["two-level", "fp32", ["F32"], 1],
    ["svd-shaped-fp16", "fp16", ["F16"], 1],
    ["every-field", "fp32", ["BF16"], 7],
    ["three-level", "fp16", ["F16"], 5],
  ];
  test.each(goldens)(
    "%s opens, %s, with every parameter placed",
    async (name, variant, dtypes, n) => {
      const checkpoint = await openCheckpoint(goldenPath(`${name}/checkpoint`));
      expect(checkpoint.variant).toBe(variant);
      expect(checkpoint.components.unet.files).toHaveLength(n);
      for (const { folder, weights, files } of Object.values(checkpoint.components)) {
        const summary = summarizeWeights(weights);
        expect(summary.dtypes).toEqual(dtypes);
        expect(summary.byteLength).toBe(summary.parameterCount * (dtypes[0] === "F32" ? 4 : 2));
        const names = new Set(files.map((file) => join(file.folder, file.fileName)));
        const last = [...weights.values()].at(-1)!;
        expect(names).toContain(join(folder, last.file));
      }
    },
  );

  test("a parameter's range in the file holds its values", async () => {
    const { folder, weights } = (await openCheckpoint(goldenPath("three-level/checkpoint")))
      .components.unet;
    const entry = weights.get("down_blocks.0.attentions.0.proj_in.weight")!;
    const file = readFileSync(join(folder, entry.file));
    const range = new Uint8Array(file.subarray(entry.offset, entry.offset + entry.byteLength));
    expect(toFloat32(entry.dtype, range)).toEqual(decodeTensors(file).get(entry.name)?.data);
    expect(entry.shape).toEqual([32, 32]);
  });

  test("the demo checkpoint is described as a request needs it", async () => {
    const demo = await openCheckpoint(join(import.meta.dirname, "../../checkpoints/demo"));
    expect(describeCheckpoint(demo, "d".repeat(64))).toEqual({
      digest: "d".repeat(64),
      name: "demo",
      numFrames: 14,
      sampleSize: 16,
      vaeScaleFactor: 4,
      latentChannels: 4,
      numTrainTimesteps: 1000,
      stepRule: "as-asked",
    });
  });
});

describe("where and how files may lie", () => {
  test("a Hugging Face cache: links into its blobs, whose folder and names are given", async () => {
    const snapshot = folders.cache("three-level");
    const { components, root, ...rest } = await openCheckpoint(snapshot);
    expect(components.unet.folder).toBe(join(snapshot, "../../blobs"));
    const entry = components.unet.weights.values().next().value!;
    expect(entry.file).toMatch(/^[0-9a-f]{64}$/);
    const described = describeCheckpoint({ components, root, ...rest }, "0");
    expect(described.name).toBe("somebody/tiny-svd");
  });

  test("links inside the checkpoint, and a link to the checkpoint", async () => {
    const folder = folders.copy("three-level");
    renameSync(join(folder, CLIP), join(folder, "image_encoder/stored"));
    symlinkSync("stored", join(folder, CLIP));
    const link = folders.path();
    symlinkSync(folder, link);
    const { root, components } = await openCheckpoint(link);
    expect(root).toBe(folder);
    expect(components.image_encoder.weights.values().next().value?.file).toBe("stored");
  });

  test("the name that diffusers once gave to the index of a variant", async () => {
    const folder = folders.copy("three-level");
    renameSync(join(folder, UNET_INDEX), join(folder, `${UNET}.safetensors.fp16.index.json`));
    expect((await openCheckpoint(folder)).components.unet.files).toHaveLength(5);
  });

  test("files without a variant come first, unless fp16 is asked for", async () => {
    const folder = folders.copy("three-level");
    copyFileSync(join(folder, CLIP), join(folder, "image_encoder/model.safetensors"));
    const taken = async (variant: "auto" | "fp16") =>
      (await openCheckpoint(folder, { variant })).components.image_encoder.files[0]?.name;
    expect(await taken("auto")).toBe("image_encoder/model.safetensors");
    expect(await taken("fp16")).toBe(CLIP);
  });

  test("a variant that is not there is refused, naming the files looked for", async () => {
    const without = openCheckpoint(goldenPath("three-level/checkpoint"), { variant: "fp32" });
    await expect(without).rejects.toThrow(
      /unet: has none of diffusion_pytorch_model.safetensors.index.json.*vae: has.*image_encoder: has/,
    );
    const half = openCheckpoint(goldenPath("two-level/checkpoint"), { variant: "fp16" });
    await expect(half).rejects.toThrow(/\[checkpoint-invalid\].*has no fp16 files/);
  });
});

describe("what older versions stored", () => {
  test("CLIP's position ids are not parameters", async () => {
    const folder = folders.copy("three-level");
    const ids = { dtype: "I64", shape: [1, 2], bytes: new Uint8Array(16) } as const;
    const name = "vision_model.embeddings.position_ids";
    editTensors(join(folder, CLIP), (n, t) => [n, t], [[name, ids]]);
    const { weights } = (await openCheckpoint(folder)).components.image_encoder;
    expect(weights.has(name)).toBe(false);
  });

  test("the VAE's attention is found under its present names", async () => {
    const before = await openCheckpoint(goldenPath("two-level/checkpoint"));
    const folder = folders.copy("two-level");
    const old = { to_q: "query", to_k: "key", to_v: "value", "to_out.0": "proj_attn" };
    let renamed = 0;
    editTensors(join(folder, "vae/diffusion_pytorch_model.safetensors"), (name, tensor) => {
      const part = Object.entries(old).find(([now]) => name.includes(`.attentions.0.${now}.`));
      if (part === undefined) return [name, tensor];
      renamed++;
      return [name.replace(part[0], part[1]), tensor];
    });
    const after = await openCheckpoint(folder);
    expect(renamed).toBe(16);
    expect([...after.components.vae.weights.keys()].sort()).toEqual(
      [...before.components.vae.weights.keys()].sort(),
    );
  });
});
