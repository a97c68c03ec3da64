/** Bad input through the real launcher: every mistake is told, nothing is started, nothing is left. */
import { spawn } from "node:child_process";
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
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeSafetensorsFile, toSafetensorsTensor } from "../../shared/tensor/safetensors.js";
import { elementCount, tensor } from "../../shared/tensor/tensor.js";
import { goldenPath, readGoldenJson } from "../golden/read-golden.js";

const LAUNCHER = fileURLToPath(new URL("../../bin/renderfarm", import.meta.url));
const CHECKPOINT = goldenPath("svd-shaped-fp16/checkpoint");
const PICTURE = goldenPath("svd-shaped-fp16/runs/plain/input0.png");

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "renderfarm-test-"));
  for (const name of ["inputs", "tmp", "out"]) mkdirSync(join(folder, name));
  writeInputs(join(folder, "inputs"));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the launcher in the folder of inputs; temporary files and outputs go to folders of their own. */
function renderfarm(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [LAUNCHER, ...args], {
      cwd: join(folder, "inputs"),
      env: { ...process.env, TMPDIR: join(folder, "tmp"), ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** A farm makes a folder for its data first, so an empty folder means that none was started. */
function expectNothingLeft(): void {
  expect(readdirSync(join(folder, "tmp"))).toEqual([]);
  expect(readdirSync(join(folder, "out"))).toEqual([]);
}

const out = (name: string) => ["--out", join("..", "out", name)];
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
        "text.png",
        "empty.png",
        "cut.png",
        "vast.png",
        "anim.gif",
        "missing.jpg",
        ".",
        "--checkpoint",
        CHECKPOINT,
        ...out("a"),
      ],
      "text.png: is neither png, jpeg nor webp",
      "empty.png: is empty",
      "cut.png: is a damaged or incomplete png",
      "vast.png: has 60000 x 60000 pixels",
      "anim.gif: is neither png",
      "missing.jpg: does not exist",
      ".: is a folder",
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
        "latents.safetensors",
      ],
      "--latents: latents.safetensors: has shape [1, 2, 4, 8, 9], this job needs [1, 2, 4, 8, 8]",
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
        "latents.safetensors",
      ],
      "--latents: latents.safetensors: holds NaN at value 7",
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
      [PICTURE, "--checkpoint", CHECKPOINT, "--out", "text.png/x/clip.gif"],
      "--out: ",
      "is a file and no folder",
    ],
    [
      "a checkpoint that is not there",
      [PICTURE, "--checkpoint", "nowhere", ...out("x.gif")],
      "nowhere: no such folder",
    ],
    [
      "a checkpoint without its parts",
      [PICTURE, "--checkpoint", "bare", ...out("x.gif")],
      "bare/unet/config.json: missing",
      "bare/scheduler/scheduler_config.json: missing",
    ],
    [
      "a checkpoint that is cut off",
      [PICTURE, "--checkpoint", "truncated", ...out("x.gif")],
      "truncated/vae/diffusion_pytorch_model.fp16.safetensors",
    ],
    [
      "a checkpoint whose config and weights differ",
      [PICTURE, "--checkpoint", "inconsistent", ...out("x.gif")],
      "inconsistent/unet",
      "down_blocks.0.resnets.1",
    ],
    ["an unknown flag", [...good, "--heigth", "64"], "--heigth", "--height"],
  ];
  test.concurrent.each(cases)("%s", async (_name, args, ...says) => {
    const { code, stdout, stderr } = await renderfarm(["run", ...args]);
    for (const text of says) expect(stderr).toContain(text);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  test("everything at once, mistakes of all kinds", async () => {
    const { code, stderr } = await renderfarm([
      ...["run", "text.png", "--checkpoint", "nowhere", "--out", "x.avi"],
      ...["--height", "7", "--seed", "abc", "--nodes", "99", "--latents", "missing"],
    ]);
    expect(code).toBe(2);
    expect(stderr).toContain("7 problems");
  });

  test("and leaves nothing behind", expectNothingLeft);
});

describe("the other verbs", () => {
  test("submit and cancel without a farm say how to get one", async () => {
    const env = { RENDERFARM_ADDRESS: "127.0.0.1:9" };
    const id = "0".repeat(26);
    for (const args of [
      ["submit", PICTURE, ...out("x.gif")],
      ["watch", id, ...out("x")],
      ["cancel", id],
    ]) {
      const { code, stdout, stderr } = await renderfarm(args, env);
      expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
      expect(stderr).toContain("no answer from 127.0.0.1:9");
      expect(stderr).toContain("renderfarm dev");
    }
  });

  test("dev checks its flags and the checkpoint", async () => {
    const { code, stderr } = await renderfarm(["dev", "--checkpoint", "bare", "--port", "70000"]);
    expect(code).toBe(2);
    expect(stderr).toContain("--port: '70000' is no whole number from 0 to 65535");
    expect(stderr).toContain("bare/unet/config.json: missing");
  });

  test("help and version are data and end well", async () => {
    const help = await renderfarm(["run", "--help"]);
    expect(help.code).toBe(0);
    expect(help.stdout).toContain("--num-inference-steps");
    const version = await renderfarm(["--version"]);
    expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  test("a verb that is misspelt is guessed", async () => {
    const { code, stderr } = await renderfarm(["rum"]);
    expect(code).toBe(2);
    expect(stderr).toContain("Did you mean run?");
  });

  test("and leave nothing behind", expectNothingLeft);
});

function writeInputs(at: string): void {
  writeFileSync(join(at, "text.png"), "not a picture");
  writeFileSync(join(at, "empty.png"), "");
  writeFileSync(join(at, "anim.gif"), Buffer.from("GIF89a\x01\x00\x01\x00\x00\x00\x00;", "latin1"));
  cpSync(PICTURE, join(at, "cut.png"));
  truncateSync(join(at, "cut.png"), 200);
  writeFileSync(join(at, "vast.png"), pngHeader(60_000, 60_000));

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

/** The beginning of a png: signature and IHDR, without any pixel. */
function pngHeader(width: number, height: number): Buffer {
  const header = Buffer.alloc(33);
  header.write("\x89PNG\r\n\x1a\n", 0, "latin1");
  header.writeUInt32BE(13, 8);
  header.write("IHDR", 12, "latin1");
  header.writeUInt32BE(width, 16);
  header.writeUInt32BE(height, 20);
  header.set([8, 2, 0, 0, 0], 24);
  return header;
}
