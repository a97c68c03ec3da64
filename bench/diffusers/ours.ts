/**
 * @file Our side of the comparison, in a process of its own: does what a line of JSON asks for and
 * answers with seconds. It mirrors theirs.py call for call.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { addedTimeIds } from "../../gpu-node/diffusion/time-ids.js";
import { createTorchGenerator } from "../../gpu-node/diffusion/torch-generator.js";
import { buildUnet } from "../../gpu-node/model/unet-spatio-temporal-condition.js";
import { ImpliedWeights } from "../../gpu-node/model/weights.js";
import {
  type InProcessRuntime,
  openInProcessRuntime,
} from "../../gpu-node/runtime/in-process-runtime.js";
import type { GraphSpec } from "../../gpu-node/runtime/runtime.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { GEMM_OPERATIONS, openGemm } from "../gemm-rate.js";
import type { Answer, Request, Size } from "./protocol.js";

interface Call {
  readonly graph: GraphSpec;
  readonly inputs: Readonly<Record<string, Tensor>>;
}

class Ours {
  readonly #runtime: InProcessRuntime;
  readonly #size: Size;
  readonly #threads: number;
  readonly #noise: (...shape: number[]) => Tensor;
  #gemm: (() => Promise<number>) | null = null;
  /** Inputs are made once: neither side is timed for them. */
  readonly #calls = new Map<string, Call>();

  private constructor(runtime: InProcessRuntime, size: Size, threads: number) {
    this.#runtime = runtime;
    this.#threads = threads;
    this.#size = size;
    const generator = createTorchGenerator(1);
    this.#noise = (...shape) => tensor(shape, generator.randn(elementCount(shape)));
  }

  static async open(checkpointDir: string, threads: number, size: Size): Promise<Ours> {
    const settings = { checkpointDir, provider: "cpu", intraOpThreads: threads } as const;
    return new Ours(await openInProcessRuntime(settings), size, threads);
  }

  async gemm(): Promise<Answer> {
    this.#gemm ??= await openGemm(this.#threads);
    return { seconds: await this.#gemm(), operations: GEMM_OPERATIONS };
  }

  /** Additions and multiplications of a half of a step. */
  async unetOperations(): Promise<number> {
    const { frames, height, width } = this.#size;
    const { model, configs } = this.#runtime.info;
    const cells = { height: height / model.vaeScaleFactor, width: width / model.vaeScaleFactor };
    const implied = new ImpliedWeights("F32");
    return 2 * buildUnet(configs.unet, implied, { frames, ...cells }).costs.multiplications;
  }

  async run(op: "unet" | "decode" | "encode" | "clip"): Promise<number> {
    const call = this.#calls.get(op) ?? this.#make(op);
    this.#calls.set(op, call);
    const startMs = performance.now();
    await this.#runtime.run(call.graph, call.inputs);
    return (performance.now() - startMs) / 1_000;
  }

  #make(op: "unet" | "decode" | "encode" | "clip"): Call {
    const { model, configs } = this.#runtime.info;
    const { frames, decodeFrames, height, width } = this.#size;
    const cells = { height: height / model.vaeScaleFactor, width: width / model.vaeScaleFactor };
    const latents = [cells.height, cells.width] as const;
    switch (op) {
      case "unet": {
        const timeIds = addedTimeIds({ fps: 7, motionBucketId: 127, noiseAugStrength: 0.02 });
        return {
          graph: { module: "unet", frames, ...cells },
          inputs: {
            sample: this.#noise(1, frames, configs.unet.in_channels, ...latents),
            timestep: tensor([1], Float32Array.of(0.5)),
            encoder_hidden_states: this.#noise(1, 1, configs.image_encoder.projection_dim),
            added_time_ids: tensor([1, timeIds.length], timeIds),
          },
        };
      }
      case "decode":
        return {
          graph: { module: "vae_decoder", frames: decodeFrames, ...cells },
          inputs: { z: this.#noise(decodeFrames, model.latentChannels, ...latents) },
        };
      case "encode":
        return {
          graph: { module: "vae_encoder", height, width },
          inputs: { x: this.#noise(1, 3, height, width) },
        };
      default: {
        const { image_size: side } = configs.image_encoder;
        return {
          graph: { module: "image_encoder" },
          inputs: { pixel_values: this.#noise(1, 3, side, side) },
        };
      }
    }
  }
}

/** Bytes of memory that this process held at the most. */
function peakBytes(): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return Number(kilobytes) * 1024;
}

let ours: Ours | null = null;

async function answer(request: Request): Promise<Answer> {
  if (request.op === "open") {
    const { checkpoint, threads, ...size } = request;
    ours = await Ours.open(checkpoint, threads, size);
    return {};
  }
  if (request.op === "memory") return { bytes: peakBytes() };
  if (request.op === "versions") return { node: process.version };
  if (request.op === "render") throw new Error("a whole clip is made by a farm");
  if (ours === null) throw new Error(`"${request.op}" came before "open"`);
  if (request.op === "gemm") return ours.gemm();
  if (request.op === "unet_operations") return { operations: await ours.unetOperations() };
  if (request.op === "first_step") {
    await ours.run("unet");
    await ours.run("unet");
    // Since the process began, its own start included.
    return { seconds: performance.now() / 1_000 };
  }
  return { seconds: await ours.run(request.op) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const reply = await answer(JSON.parse(line) as Request);
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
process.exit(0);
