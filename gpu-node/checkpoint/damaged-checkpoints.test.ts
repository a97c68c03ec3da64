import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { FarmError } from "../../shared/core/errors.js";
import { editJson, editTensors, TestFolders } from "../../test/golden/checkpoint-folders.js";
import { goldenPath } from "../../test/golden/read-golden.js";
import { openCheckpoint } from "./open-checkpoint.js";

const folders = new TestFolders();
afterAll(() => folders.remove());

/** Node itself cannot make named pipes. */
const MAKE_PIPE = "mkfifo";
const UNET = "unet/diffusion_pytorch_model";
const UNET_INDEX = `${UNET}.safetensors.index.fp16.json`;
const SHARD_1 = `${UNET}.fp16-00001-of-00004.safetensors`;
const SHARD_2 = `${UNET}.fp16-00002-of-00004.safetensors`;
const CLIP = "image_encoder/model.fp16.safetensors";

async function refusalOf(folder: string): Promise<FarmError> {
  const error = await openCheckpoint(folder).then(
    () => expect.fail("the checkpoint was accepted"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof FarmError)) throw error;
  expect(error.code).toBe("checkpoint-invalid");
  expect(error.violations.length).toBeGreaterThan(0);
  return error;
}

describe("a damaged checkpoint is refused, naming the file", () => {
  type Damage = [name: string, damage: (folder: string) => unknown, message: RegExp];
  const remove = (folder: string, name: string) => rmSync(join(folder, name), { recursive: true });
  const write = (folder: string, name: string, text: string | Uint8Array) =>
    writeFileSync(join(folder, name), text);
  const replaceBy = (folder: string, name: string, make: (path: string) => unknown) => {
    remove(folder, name);
    return make(join(folder, name));
  };
  const editMap = (folder: string, change: (map: Record<string, string>) => void) => {
    const index = JSON.parse(readFileSync(join(folder, UNET_INDEX), "utf8")) as {
      weight_map: Record<string, string>;
    };
    change(index.weight_map);
    editJson(join(folder, UNET_INDEX), index);
  };

  const configs: Damage[] = [
    ["no model_index.json", (f) => remove(f, "model_index.json"), /model_index.json: missing/],
    [
      "half a JSON file",
      (f) => write(f, "vae/config.json", '{"in_cha'),
      /vae\/config.json: is not valid JSON/,
    ],
    [
      "an empty config",
      (f) => write(f, "vae/config.json", ""),
      /vae\/config.json: is not valid JSON/,
    ],
    [
      "a config that is not UTF-8",
      (f) => write(f, "vae/config.json", Uint8Array.of(0x22, 0xff, 0x22)),
      /vae\/config.json/,
    ],
    ["a field twice", (f) => write(f, "vae/config.json", '{"a":1,"a":2}'), /"a" twice/],
    ["a prototype field", (f) => write(f, "vae/config.json", '{"__proto__":{}}'), /__proto__/],
    [
      "100,000 levels of nesting",
      (f) => write(f, "unet/config.json", "[".repeat(100_000)),
      /unet\/config.json.*deeper/,
    ],
    [
      "a config of 2 MB",
      (f) => write(f, "unet/config.json", " ".repeat(2 ** 21)),
      /has 2097152 bytes, at most 1048576/,
    ],
    [
      "a config that is a folder",
      (f) => replaceBy(f, "unet/config.json", mkdirSync),
      /unet\/config.json: is not a regular file/,
    ],
    [
      "a config that is a pipe",
      (f) => replaceBy(f, "unet/config.json", (p) => execFileSync(MAKE_PIPE, [p])),
      /is not a regular file/,
    ],
    ["no component folder", (f) => remove(f, "vae"), /vae\/config.json: missing/],
    [
      "a component that is a file",
      (f) => replaceBy(f, "vae", (p) => writeFileSync(p, "")),
      /vae\/config.json: missing/,
    ],
    [
      "another scheduler",
      (f) => editJson(join(f, "scheduler/scheduler_config.json"), { _class_name: "DDIMScheduler" }),
      /scheduler_config.json: _class_name: must be EulerDiscrete/,
    ],
    [
      "components that do not fit",
      (f) => editJson(join(f, "vae/config.json"), { latent_channels: 8 }),
      /unet\/config.json: in_channels: is 8, must be 16/,
    ],
  ];
  const weights: Damage[] = [
    [
      "no weights",
      (f) => remove(f, CLIP),
      /image_encoder: has none of model.safetensors, .*model.fp16.safetensors/,
    ],
    [
      "pickled weights only",
      (f) => renameSync(join(f, CLIP), join(f, "image_encoder/pytorch_model.bin")),
      /pytorch_model.bin is not read/,
    ],
    [
      "an empty file",
      (f) => truncateSync(join(f, CLIP)),
      /model.fp16.safetensors: 0 bytes are too few/,
    ],
    [
      "a file cut in its header",
      (f) => truncateSync(join(f, CLIP), 100),
      /model.fp16.safetensors: header ends at byte/,
    ],
    [
      "a file cut in its data",
      (f) => truncateSync(join(f, SHARD_2), 500_000),
      /00002-of-00004.safetensors: tensor ".+": ends at byte .* truncated/,
    ],
    [
      "a web page",
      (f) => write(f, CLIP, "<!doctype html><title>404</title>"),
      /model.fp16.safetensors: header length \d+ is above/,
    ],
    [
      "a file too long",
      (f) => write(f, CLIP, Buffer.concat([readFileSync(join(f, CLIP)), Buffer.alloc(1)])),
      /1 bytes after tensor/,
    ],
    [
      "weights that are a folder",
      (f) => replaceBy(f, CLIP, mkdirSync),
      /model.fp16.safetensors: is not a regular file/,
    ],
    [
      "weights that are a pipe",
      (f) => replaceBy(f, SHARD_1, (p) => execFileSync(MAKE_PIPE, [p])),
      /00001-of-00004.safetensors: is not a regular file/,
    ],
    [
      "a type that is not floating",
      (f) =>
        editTensors(join(f, CLIP), (n, t) => [
          n,
          t.shape.length === 1 ? { ...t, dtype: "I16" } : t,
        ]),
      /tensor "vision_model.+": I16 is not F32, F16 or BF16/,
    ],
    [
      "one parameter under two names",
      (f) =>
        editTensors(
          join(f, "vae/diffusion_pytorch_model.fp16-00001-of-00002.safetensors"),
          (n, t) => [n.replace("to_k.weight", "query.weight"), t],
        ),
      /tensor ".*": is stored a second time, as .*\.to_q\.weight/,
    ],
  ];
  const links: Damage[] = [
    [
      "a link to a file outside",
      (f) =>
        replaceBy(f, CLIP, (p) => symlinkSync(goldenPath(`three-level/checkpoint/${CLIP}`), p)),
      /model.fp16.safetensors: links to .*, outside the checkpoint/,
    ],
    [
      "a component that links outside",
      (f) => replaceBy(f, "unet", (p) => symlinkSync(goldenPath("three-level/checkpoint/unet"), p)),
      /unet\/config.json: links to/,
    ],
    [
      "a link to nothing",
      (f) => replaceBy(f, CLIP, (p) => symlinkSync("nothing", p)),
      /is a broken link \(ENOENT\)/,
    ],
    [
      "a link to itself",
      (f) => replaceBy(f, CLIP, (p) => symlinkSync("model.fp16.safetensors", p)),
      /is a broken link \(ELOOP\)/,
    ],
    [
      "a link to a device",
      (f) => replaceBy(f, CLIP, (p) => symlinkSync("/dev/zero", p)),
      /links to \/dev\/zero/,
    ],
    [
      "shards in two folders",
      (f) => {
        renameSync(join(f, SHARD_2), join(f, "elsewhere"));
        symlinkSync("../elsewhere", join(f, SHARD_2));
      },
      /00002-of-00004.safetensors: lies in .*must lie in one folder/,
    ],
  ];
  const indexes: Damage[] = [
    ["a shard that is not there", (f) => remove(f, SHARD_2), /00002-of-00004.safetensors: missing/],
    ["an index without a map", (f) => write(f, UNET_INDEX, "{}"), /index.fp16.json: weight_map/],
    [
      "an index of nothing",
      (f) => write(f, UNET_INDEX, '{"weight_map":{}}'),
      /weight_map names no tensor/,
    ],
    [
      "a prototype key in the map",
      (f) => write(f, UNET_INDEX, '{"weight_map":{"__proto__":"a.safetensors"}}'),
      /__proto__/,
    ],
    [
      "a shard above its folder",
      (f) =>
        editMap(f, (map) => {
          map["conv_in.bias"] = "../vae/x.safetensors";
        }),
      /weight_map.conv_in.bias: must be a .safetensors file beside/,
    ],
    [
      "a shard at an absolute path",
      (f) =>
        editMap(f, (map) => {
          map["conv_in.bias"] = "/etc/x.safetensors";
        }),
      /weight_map.conv_in.bias: must be/,
    ],
    [
      "a tensor that no shard holds",
      (f) =>
        editMap(f, (map) => {
          map["ghost"] = map["conv_in.bias"]!;
        }),
      /index.fp16.json: tensor "ghost": .*does not hold it/,
    ],
    [
      "a tensor in another shard",
      (f) =>
        editMap(f, (map) => {
          map["conv_in.bias"] = "diffusion_pytorch_model.fp16-00004-of-00004.safetensors";
        }),
      /tensor "conv_in.bias": .*but it is in unet/,
    ],
    [
      "a tensor the index leaves out",
      (f) =>
        editMap(f, (map) => {
          delete map["conv_in.bias"];
        }),
      /tensor "conv_in.bias": is not in unet/,
    ],
    [
      "a tensor in two shards",
      (f) => {
        const copy = { dtype: "F16", shape: [1], bytes: new Uint8Array(2) } as const;
        editTensors(join(f, SHARD_2), (n, t) => [n, t], [["conv_in.bias", copy]]);
      },
      /tensor "conv_in.bias": is also in unet/,
    ],
  ];

  test.each([...configs, ...weights, ...links, ...indexes])(
    "%s",
    async (_name, damage, message) => {
      const folder = folders.copy("three-level");
      damage(folder);
      expect((await refusalOf(folder)).message).toMatch(message);
    },
  );

  test("a socket in place of a file", async () => {
    const folder = folders.copy("three-level");
    rmSync(join(folder, "vae/config.json"));
    const server = createServer();
    await new Promise<void>((done) => server.listen(join(folder, "vae/config.json"), done));
    const error = await refusalOf(folder);
    await new Promise((done) => server.close(done));
    expect(error.message).toMatch(/vae\/config.json: cannot be opened \(ENXIO\)/);
  });

  test("a folder that is not there, and one that is a file", async () => {
    expect((await refusalOf(folders.path())).message).toMatch(/no such folder \(ENOENT\)/);
    const file = join(folders.copy("three-level"), "model_index.json");
    expect((await refusalOf(file)).message).toMatch(/is not a folder/);
  });

  test("a folder that holds something else: every missing part is named", async () => {
    const folder = folders.path();
    mkdirSync(folder);
    expect((await refusalOf(folder)).violations.map((v) => v.field)).toEqual([
      "model_index.json",
      "unet/config.json",
      "vae/config.json",
      "image_encoder/config.json",
      "scheduler/scheduler_config.json",
      "feature_extractor/preprocessor_config.json",
      "unet",
      "vae",
      "image_encoder",
    ]);
  });

  test("problems of several files are told at once", async () => {
    const folder = folders.copy("three-level");
    editJson(join(folder, "unet/config.json"), { in_channels: 0, num_frames: "x" });
    truncateSync(join(folder, CLIP), 100);
    remove(folder, SHARD_1);
    const fields = (await refusalOf(folder)).violations.map((v) => v.field);
    expect(fields).toEqual([
      "unet/config.json: in_channels",
      "unet/config.json: num_frames",
      SHARD_1,
      CLIP,
    ]);
  });
});
