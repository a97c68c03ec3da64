/**
 * @file Our side of the GPU bench: one stage in this process, its figures as a line of JSON.
 * `ours.js STAGE CHECKPOINT PROVIDER DTYPE IMAGE`
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { StableVideoDiffusion } from "../../engine/stable-video-diffusion.js";
import {
  type InProcessRuntime,
  openInProcessRuntime,
} from "../../gpu-node/runtime/in-process-runtime.js";
import type { DtypeChoice, Provider } from "../../gpu-node/runtime/provider.js";
import { type Call, moduleCalls } from "../module-calls.js";
import { median } from "../statistics.js";
import { type Measured, type Stage, THREADS, type Timed, XT_CLIP } from "./work.js";

const ROUNDS = 5;

const [stage, checkpointDir, provider, dtype, image] = process.argv.slice(2) as [
  ...[Stage, string, Provider, DtypeChoice, string],
];

async function measure(): Promise<Measured> {
  if (stage === "whole") return wholeClip();
  const settings = { checkpointDir, provider, dtype, intraOpThreads: THREADS };
  const runtime = await openInProcessRuntime(settings);
  const calls = moduleCalls(runtime.info.configs, XT_CLIP);
  if (stage === "condition") {
    const { timed: clip } = await time(runtime, calls.image_encoder);
    const { timed: encode, digests } = await time(runtime, calls.vae_encoder);
    return { clip, encode, digests };
  }
  const { timed, digests } = await time(runtime, stage === "unet" ? calls.unet : calls.vae_decoder);
  return { [stage === "unet" ? "half" : "decode"]: timed, digests };
}

async function time(
  runtime: InProcessRuntime,
  [graph, inputs]: Call,
): Promise<{ readonly timed: Timed; readonly digests: string[] }> {
  const seconds: number[] = [];
  const digests = new Set<string>();
  for (let i = 0; i <= ROUNDS; i++) {
    const startMs = performance.now();
    const results = await runtime.run(graph, inputs);
    seconds.push((performance.now() - startMs) / 1_000);
    digests.add(digestOf(Object.values(results).map(({ data }) => data)));
  }
  const [first, ...others] = seconds;
  return { timed: { first: first!, median: median(others) }, digests: [...digests] };
}

async function wholeClip(): Promise<Measured> {
  const options = { provider, dtype, threads: THREADS };
  const svd = await StableVideoDiffusion.fromPretrained(checkpointDir, options);
  const { frames: numFrames, chunk: decodeChunkSize, steps, ...size } = XT_CLIP;
  const render = (numInferenceSteps: number) =>
    svd.run(image, { ...size, numFrames, decodeChunkSize, numInferenceSteps, generator: 1 });
  // Loads everything and chooses every algorithm.
  await render(1);
  const startMs = performance.now();
  const { frames } = await render(steps);
  const whole = (performance.now() - startMs) / 1_000;
  return { whole, digests: [digestOf(frames[0]!.map(({ data }) => data))] };
}

function digestOf(parts: readonly (Float32Array | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const { buffer, byteOffset, byteLength } of parts) {
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex").slice(0, 16);
}

/** What the first device says is taken; nothing where nobody tells. */
function deviceBytes(): Pick<Measured, "deviceBytes"> {
  try {
    const args = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
    const told = execFileSync("nvidia-smi", args, { encoding: "utf8" });
    return { deviceBytes: Number.parseInt(told, 10) * 2 ** 20 };
  } catch {
    return {};
  }
}

const measured = await measure();
process.stdout.write(`${JSON.stringify({ ...measured, ...deviceBytes() })}\n`);
// The engine frees a device's memory slowly; nobody needs it any more.
process.exit(0);
