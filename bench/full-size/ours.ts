/**
 * @file Our side of the full size, each kind of work in a process of its own: `graph` builds the UNet
 * of a clip of 25 frames at 576x1024 and runs nothing; `clip` and `clip-offload` render a small one.
 */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { StableVideoDiffusion } from "../../engine/stable-video-diffusion.js";
import { openCheckpoint } from "../../gpu-node/checkpoint/open-checkpoint.js";
import { buildUnet } from "../../gpu-node/model/unet-spatio-temporal-condition.js";
import { CLIP } from "./clip.js";

const [work, folder, image, threads, out] = process.argv.slice(2);

/** Bytes of memory that this process holds, now or at the most. */
function memory(field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]);
}

function tell(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

async function graph(): Promise<void> {
  const { configs, components } = await openCheckpoint(folder!);
  const before = memory("VmRSS");
  const startMs = performance.now();
  const size = { frames: 25, height: 72, width: 128 };
  const built = buildUnet(configs.unet, components.unet.weights, size);
  const seconds = (performance.now() - startMs) / 1_000;
  const { nodeCount, parameterCount, costs, bytes } = built;
  tell({
    ...{ seconds, nodeCount, parameterCount, graphBytes: bytes.length },
    ...{ addedBytes: memory("VmHWM") - before, peakBytes: memory("VmHWM") },
    teraFlops: (2 * costs.multiplications) / 1e12,
  });
}

async function clip(): Promise<void> {
  const startMs = performance.now();
  const since = () => (performance.now() - startMs) / 1_000;
  const svd = await StableVideoDiffusion.fromPretrained(folder!, {
    threads: Number(threads),
    offload: work === "clip-offload",
  });
  const opened = since();
  const steps: number[] = [];
  const { height, width, frames: numFrames, steps: numInferenceSteps, seed } = CLIP;
  const { frames } = await svd.run(image!, {
    ...{ height, width, numFrames, numInferenceSteps, decodeChunkSize: numFrames },
    ...{ generator: seed, outputType: "np" },
    callbackOnStepEnd: () => {
      steps.push(since());
      return undefined;
    },
  });
  const { data } = frames[0]!;
  await writeFile(out!, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  tell({ opened, steps, seconds: since(), peakBytes: memory("VmHWM") });
  await svd.close();
}

await (work === "graph" ? graph() : clip());
