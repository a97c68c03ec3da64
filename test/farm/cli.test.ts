/** Bad input through the real launcher: every mistake is told, nothing is started, nothing is left. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeSafetensorsFile, toSafetensorsTensor } from "../../shared/tensor/safetensors.js";
import { elementCount, tensor } from "../../shared/tensor/tensor.js";
import { goldenPath, readGoldenJson } from "../golden/read-golden.js";
import { runCli } from "./cli-process.js";

const CHECKPOINT = goldenPath("svd-shaped-fp16/checkpoint");
const PICTURE = goldenPath("svd-shaped-fp16/runs/plain/input0.png");

const folder = mkdtempSync(join(tmpdir(), "renderfarm-test-"));
beforeAll(async () => {
  for (const name of ["inputs", "out"]) mkdirSync(join(folder, name));
  await writeInputs(join(folder, "inputs"));
});
afterAll(() => {
  const left = readdirSync(join(folder, "out"));
  rmSync(folder, { recursive: true });
  expect(left, "what refused commands left at --out").toEqual([]);
});

const input = (name: string) => join(folder, "inputs", name);
const out = (name: string) => ["--out", join(folder, "out", name)];
const good = [PICTURE, "--checkpoint", CHECKPOINT, ...out("clip.gif")];

describe("renderfarm run refuses", () => {
  type Case = [name: string, args: string[], ...says: string[]];
  const cases: Case[] = [
    [
      "an empty command line",
      [],
      "--checkpoint: is missing",
      "IMAGE: there is none",
      "--out: is missing",
    ],
    [
      "a size that 8 does not divide",
      [...good, "--height", "63"],
      "--height: '63' is no multiple of 8 from 8 to 4096; nearest are 56 and 64",
    ],
    [
      "counts of zero",
      [
        ...good,
        "--num-frames",
        "0",
        "--num-inference-steps",
        "0",
        "--fps",
        "0",
        "--decode-chunk-size",
        "0",
        "--num-videos-per-prompt",
        "0",
      ],
      "--num-frames: '0'",
      "--num-inference-steps: '0'",
      "--fps: '0'",
      "--decode-chunk-size: '0'",
      "--num-videos-per-prompt: '0'",
    ],
    [
      "numbers that are none",
      [
        ...good,
        "--min-guidance-scale",
        "nan",
        "--max-guidance-scale",
        "-1",
        "--noise-aug-strength",
        "Infinity",
        "--motion-bucket-id",
        "x",
      ],
      "--min-guidance-scale: 'nan'",
      "--max-guidance-scale: '-1'",
      "--noise-aug-strength: 'Infinity'",
      "--motion-bucket-id: 'x'",
    ],
    [
      "seeds that fit no number of clips",
      [...good, "--seed", "1,2,3"],
      "--seed: has 3 values for 1 clip(s)",
    ],
    ["sigmas that rise", [...good, "--sigmas", "1,2"], "--sigmas: 2, value 2 of 2, is not below 1"],
    [
      "a pairing and a variant nobody knows",
      [...good, "--pair", "maybe", "--variant", "int8"],
      "--pair: 'maybe'",
      "--variant: 'int8'",
    ],
    [
      "a farm without nodes",
      [...good, "--nodes", "0", "--threads", "0"],
      "--nodes: '0' is no whole number from 1 to 16",
      "--threads: '0'",
    ],
    [
      "files that are no pictures",
      [
        input("text.png"),
        input("empty.png"),
        input("cut.png"),
        input("vast.png"),
        input("anim.gif"),
        input("missing.jpg"),
        ".",
        "--checkpoint",
        CHECKPOINT,
        ...out("a"),
      ],
      "text.png: is neither png, jpeg nor webp",
      "empty.png: is empty",
      "cut.png: is a damaged or incomplete png",
      "vast.png: has 4200 x 4000 pixels, more than 16777216",
      "anim.gif: is neither png",
      "missing.jpg: does not exist",
      "is a folder without .png, .jpg, .jpeg, .webp files",
    ],
    [
      "latents of a wrong shape",
      [
        ...good,
        "--num-frames",
        "2",
        "--height",
        "64",
        "--width",
        "64",
        "--latents",
        input("latents.safetensors"),
      ],
      "latents.safetensors: has shape [1, 2, 4, 8, 9], this job needs [1, 2, 4, 8, 8]",
    ],
    [
      "latents that are no numbers",
      [
        ...good,
        "--num-frames",
        "2",
        "--height",
        "64",
        "--width",
        "72",
        "--latents",
        input("latents.safetensors"),
      ],
      "latents.safetensors: holds NaN at value 7",
    ],
    ["latents that are a picture", [...good, "--latents", PICTURE], "--latents:"],
    ["an unknown format", [...good, "--format", "gif,avi"], "--format: 'avi' is no format"],
    [
      "an extension that is no format",
      [PICTURE, "--checkpoint", CHECKPOINT, ...out("x.avi")],
      "--out: '.avi' is no format; legal are .mp4",
    ],
    [
      "two clips in one file",
      [...good, "--num-videos-per-prompt", "2"],
      "is one file for 2 clips; name a folder",
    ],
    ["two formats in one file", [...good, "--format", "gif,webp"], "is one file for 2 formats"],
    [
      "a folder below a file",
      [PICTURE, "--checkpoint", CHECKPOINT, "--out", input("text.png/x/clip.gif")],
      "--out: ",
      "is a file and no folder",
    ],
    [
      "a checkpoint that is not there",
      [PICTURE, "--checkpoint", input("nowhere"), ...out("x.gif")],
      "nowhere: no such folder",
    ],
    [
      "a checkpoint without its parts",
      [PICTURE, "--checkpoint", input("bare"), ...out("x.gif")],
      "bare/unet/config.json: missing",
      "bare/scheduler/scheduler_config.json: missing",
    ],
    [
      "a checkpoint that is cut off",
      [PICTURE, "--checkpoint", input("truncated"), ...out("x.gif")],
      "truncated/vae/diffusion_pytorch_model.fp16.safetensors",
    ],
    [
      "a checkpoint whose config and weights differ",
      [PICTURE, "--checkpoint", input("inconsistent"), ...out("x.gif")],
      "inconsistent/unet: up_blocks.1.resnets.1.spatial_res_block.conv1.weight: has the shape [64, 128, 3, 3]",
      "inconsistent/unet: down_blocks.0.attentions.1.norm.bias: is not part of the model",
    ],
    ["an unknown flag", [...good, "--heigth", "64"], "--heigth", "--height"],
  ];
  test.each(cases)("%s", async (_name, args, ...says) => {
    const { exitCode, stdout, stderr } = await runCli(["run", ...args]);
    for (const text of says) expect(stderr).toContain(text);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
  });

  test("everything at once, mistakes of all kinds", async () => {
    const { exitCode, stderr } = await runCli([
      ...["run", input("text.png"), "--checkpoint", input("nowhere"), "--out", "x.avi"],
      ...["--height", "7", "--seed", "abc", "--nodes", "99", "--latents", input("missing")],
    ]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("7 problems");
  });
});

describe("the other verbs", () => {
  test("submit and cancel without a farm say how to get one", async () => {
    const address = ["--address", "127.0.0.1:9"];
    const id = "0".repeat(26);
    for (const args of [
      ["submit", PICTURE, ...out("x.gif")],
      ["watch", id, ...out("x")],
      ["cancel", id],
    ]) {
      const { exitCode, stdout, stderr } = await runCli([...args, ...address]);
      expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: "" });
      expect(stderr).toContain("no answer from 127.0.0.1:9");
      expect(stderr).toContain("renderfarm dev");
    }
  });

  test("dev checks its flags and the checkpoint", async () => {
    const { exitCode, stderr } = await runCli([
      "dev",
      "--checkpoint",
      input("bare"),
      "--port",
      "70000",
    ]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("--port: '70000' is no whole number from 0 to 65535");
    expect(stderr).toContain("bare/unet/config.json: missing");
  });

  test("help and version are data and end well", async () => {
    const help = await runCli(["run", "--help"]);
    expect(help.exitCode).toBe(0);
    expect(help.stdout).toContain("--num-inference-steps");
    const version = await runCli(["--version"]);
    expect(version).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });

  test("a verb that is misspelt is guessed", async () => {
    const { exitCode, stderr } = await runCli(["rum"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("Did you mean run?");
  });
});

async function writeInputs(at: string): Promise<void> {
  writeFileSync(join(at, "text.png"), "not a picture");
  writeFileSync(join(at, "empty.png"), "");
  writeFileSync(join(at, "anim.gif"), Buffer.from("GIF89a\x01\x00\x01\x00\x00\x00\x00;", "latin1"));
  cpSync(PICTURE, join(at, "cut.png"));
  truncateSync(join(at, "cut.png"), 200);
  const create = { width: 4200, height: 4000, channels: 3 as const, background: "#000" };
  await sharp({ create, limitInputPixels: false }).png().toFile(join(at, "vast.png"));

  const shape = [1, 2, 4, 8, 9];
  const noise = tensor(shape, new Float32Array(elementCount(shape)));
  noise.data[7] = Number.NaN;
  const file = encodeSafetensorsFile([["latents", toSafetensorsTensor(noise)]]);
  writeFileSync(join(at, "latents.safetensors"), file);

  mkdirSync(join(at, "bare"));
  writeFileSync(join(at, "bare/model_index.json"), "{}");
  cpSync(CHECKPOINT, join(at, "truncated"), { recursive: true });
  truncateSync(join(at, "truncated/vae/diffusion_pytorch_model.fp16.safetensors"), 100_000);
  cpSync(CHECKPOINT, join(at, "inconsistent"), { recursive: true });
  const unet = readGoldenJson<object>("svd-shaped-fp16/checkpoint/unet/config.json");
  const thinner = { ...unet, layers_per_block: 1 };
  writeFileSync(join(at, "inconsistent/unet/config.json"), JSON.stringify(thinner));
}
