/** @file The same clip has the same bytes, however many nodes made it, and they are diffusers' clip. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { OUTPUT_FORMATS, type PairPolicy } from "../../shared/farm/parameters.js";
import {
  goldenPath,
  goldenTensor,
  maxDifference,
  maxRelativeDifference,
  readGolden,
} from "../golden/read-golden.js";
import { runCli } from "./cli-process.js";
import { CLIP, hashesOf, stageOf, startFarm, undisturbed } from "./farm-harness.js";

test("one node, pairs and singles of three, chunks on all of them: the same files of every format", async () => {
  const clip = { ...CLIP, numFrames: 6, numInferenceSteps: 4, formats: OUTPUT_FORMATS };
  const expected = (await undisturbed(clip))[0]!;
  expect(Object.keys(expected).sort()).toEqual([
    ...["clip.gif", "clip.json", "clip.mp4", "clip.safetensors", "clip.webp"],
    ...[1, 2, 3, 4, 5, 6].map((frame) => `frame-00${frame}.png`),
  ]);

  const farm = await startFarm(3);
  const plans: [pair: PairPolicy, plan: string][] = [
    ["always", "pair"],
    ["never", "single"],
    ["auto", "pair"],
  ];
  for (const [pair, plan] of plans) {
    const job = await farm.render({ ...clip, pair });
    expect(hashesOf(job)).toEqual(expected);
    expect(job.clips[0]!.plan).toBe(plan);
    expect(stageOf(job, "denoise")!.nodeIds).toHaveLength(plan === "pair" ? 2 : 1);
    expect([...stageOf(job, "decode")!.nodeIds].sort()).toEqual(["node-1", "node-2", "node-3"]);
  }
});

/** What `--json` says of a run, as far as it is looked at here. */
interface Report {
  readonly clips: readonly {
    readonly plan: string;
    readonly nodes: readonly string[];
    readonly outputs: readonly { readonly format: string; readonly sha256: string }[];
  }[];
}

/** Runs of diffusers, with the flags that say the same. */
const RUNS: [checkpoint: string, run: string, flags: string[]][] = [
  [
    "svd-shaped-fp16",
    "plain",
    [
      ...["--height", "64", "--width", "128", "--num-frames", "6", "--decode-chunk-size", "4"],
      ...["--num-inference-steps", "5", "--seed", "2026"],
    ],
  ],
  [
    "two-level",
    "two-images",
    [
      ...["--height", "48", "--width", "64", "--num-frames", "4", "--decode-chunk-size", "4"],
      ...["--num-inference-steps", "3", "--seed", "1,2", "--fps", "12"],
      ...["--motion-bucket-id", "40", "--noise-aug-strength", "0.1"],
    ],
  ],
];

describe.each(RUNS)("renderfarm run with %s, %s", (checkpoint, run, flags) => {
  const folder = goldenPath(`${checkpoint}/runs/${run}`);
  const { images } = JSON.parse(readFileSync(join(folder, "call.json"), "utf8")) as {
    images: string[];
  };
  const expected = readGolden(join(folder, "expected.safetensors"));
  const frames = goldenTensor(expected, "frames");
  const stepCount = goldenTensor(expected, "timesteps").data.length;
  const latents = goldenTensor(expected, `latents_after_step_${stepCount - 1}`);

  /** Renders the run, compares it with the reference, and returns what it said. */
  async function render(farm: readonly string[]): Promise<Report> {
    const scratch = mkdtempSync(join(tmpdir(), "farm-out-"));
    onTestFinished(() => rmSync(scratch, { recursive: true }));
    const out = join(scratch, "clips.safetensors");
    const { exitCode, stdout, stderr } = await runCli([
      ...["run", ...images.map((image) => join(folder, image))],
      ...["--checkpoint", goldenPath(`${checkpoint}/checkpoint`), "--out", out, "--json"],
      ...[...flags, ...farm, "--threads", "1"],
    ]);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    const made = readGolden(out);
    const madeFrames = goldenTensor(made, "frames");
    expect(madeFrames.shape).toEqual(frames.shape);
    expect(maxDifference(madeFrames.data, frames.data)).toBeLessThanOrEqual(5e-4);
    expect(meanDifference(madeFrames.data, frames.data)).toBeLessThanOrEqual(2e-5);
    const madeLatents = goldenTensor(made, "latents");
    expect(madeLatents.shape).toEqual(latents.shape);
    expect(maxRelativeDifference(madeLatents.data, latents.data)).toBeLessThanOrEqual(2e-4);
    return JSON.parse(stdout) as Report;
  }

  test("a pair and a single node make the reference's clips, with the same bytes", async () => {
    const pair = await render(["--nodes", "2", "--pair", "always"]);
    const single = await render(["--nodes", "1"]);
    expect(pair.clips.map((clip) => clip.plan)).toEqual(images.map(() => "pair"));
    expect(single.clips.map((clip) => clip.plan)).toEqual(images.map(() => "single"));
    expect(pair.clips[0]!.nodes).toEqual(["node-1", "node-2"]);
    expect(single.clips[0]!.nodes).toEqual(["node-1"]);
    const hashes = ({ clips }: Report) => clips.flatMap((c) => c.outputs.map((o) => o.sha256));
    expect(hashes(pair)).toEqual(hashes(single));
    expect(hashes(pair)[0]).toMatch(/^[0-9a-f]{64}$/);
  });
});

function meanDifference(actual: Float32Array, expected: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < expected.length; i++) sum += Math.abs(actual[i]! - expected[i]!);
  return sum / expected.length;
}
