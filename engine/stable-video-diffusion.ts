/** @file The pipeline in one process: the stages of a node one after the other, without a store. */
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { clipPixelsSizeProblem } from "../gpu-node/diffusion/clip-pixels.js";
import { framesToBytes } from "../gpu-node/diffusion/frames.js";
import { type RgbPicture, rgbPicture } from "../gpu-node/diffusion/rgb-picture.js";
import {
  type InProcessRuntime,
  openInProcessRuntime,
} from "../gpu-node/runtime/in-process-runtime.js";
import type { DtypeChoice } from "../gpu-node/runtime/provider.js";
import type { RuntimeSettings } from "../gpu-node/runtime/runtime-info.js";
import { HalfComputer } from "../gpu-node/stages/compute-half.js";
import { conditionClip } from "../gpu-node/stages/condition.js";
import { chunkLatents, decodeChunk } from "../gpu-node/stages/decode.js";
import { createReplica } from "../gpu-node/stages/denoise-maths.js";
import { decodePicture } from "../gpu-node/stages/picture.js";
import { refuseAborted, type StageContext } from "../gpu-node/stages/stage-context.js";
import type { Conditioning } from "../gpu-node/stages/tensor-blobs.js";
import { FarmError, refusal, refuseViolations } from "../shared/core/errors.js";
import { type JobParameters, planChunks } from "../shared/farm/parameters.js";
import type { ModelInfo } from "../shared/farm/work.js";
import { type ComputeType, elementCount, type Tensor, tensor } from "../shared/tensor/tensor.js";
import {
  type CallOptions,
  type CallResult,
  checkCall,
  type FramesOf,
  type OutputType,
  type PictureSource,
} from "./call-options.js";

export interface PretrainedOptions {
  /** Which files of the folder; "auto" takes those without a variant, else the fp16 ones. */
  readonly variant?: "auto" | "fp32" | "fp16";
  /** What graphs compute in; "auto": float16 on cuda where the checkpoint is stored in it. */
  readonly dtype?: DtypeChoice;
  /** Execution provider. Default: cpu. */
  readonly provider?: RuntimeSettings["provider"];
  /** Threads of a run. Default: as many as there are cores. */
  readonly threads?: number;
  /** Keeps the models of the stage at hand only: less memory, and loading at every change. */
  readonly offload?: boolean;
  /**
   * Frames that the UNet's feed-forward networks compute at a time, as diffusers'
   * `enable_forward_chunking`: less memory. Default: as the provider likes it.
   */
  readonly forwardChunkSize?: number;
}

/** What the stages need besides their values. */
type Context = Omit<StageContext, "blobs"> & { readonly dtype: ComputeType };

/**
 * Stable Video Diffusion of one checkpoint. A run of the model holds this process's event loop until
 * it is done; between two runs timers and signals have their turn.
 */
export class StableVideoDiffusion {
  readonly #runtime: InProcessRuntime;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(runtime: InProcessRuntime) {
    this.#runtime = runtime;
  }

  /**
   * Opens a diffusers folder; graphs are built when they are first needed.
   *
   * @throws FarmError "checkpoint-invalid" with everything that is wrong with the folder
   */
  static async fromPretrained(
    folder: string,
    options: PretrainedOptions = {},
  ): Promise<StableVideoDiffusion> {
    const { variant = "auto", provider = "cpu", threads = availableParallelism() } = options;
    const { dtype = "auto", offload = false, forwardChunkSize = null } = options;
    refuseViolations(
      Object.entries({ threads, forwardChunkSize: forwardChunkSize ?? 1 })
        .filter(([, count]) => !Number.isSafeInteger(count) || count < 1)
        .map(([field, count]) => ({
          field,
          description: `${count} is no whole number of at least 1`,
        })),
    );
    const settings = {
      ...{ checkpointDir: folder, variant, provider, dtype, intraOpThreads: threads, offload },
      forwardChunkSize,
    };
    return new StableVideoDiffusion(await openInProcessRuntime(settings));
  }

  /** The checkpoint: its digest, frames and sizes. */
  get model(): ModelInfo {
    return this.#runtime.info.model;
  }

  /**
   * Makes clips; calls wait for each other.
   *
   * @param image one picture, or several: the clips of all of them are one batch for the seeds
   * @throws FarmError "invalid-argument" with every mistake at once before any work, "cancelled"
   *   after an abort, "runtime-failed", "out-of-memory", "numerical"
   */
  run<T extends OutputType = "rgb">(
    image: PictureSource | readonly PictureSource[],
    options: CallOptions<T> = {},
  ): Promise<CallResult<T>> {
    const turn = this.#last.then(() => this.#run(image, options));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** Frees the model; no call may follow. */
  close(): Promise<void> {
    return this.#runtime.close();
  }

  async #run<T extends OutputType>(
    image: PictureSource | readonly PictureSource[],
    options: CallOptions<T>,
  ): Promise<CallResult<T>> {
    const sources: readonly PictureSource[] = Array.isArray(image) ? image : [image];
    const parameters = checkCall(options as CallOptions, sources.length, this.model);
    const pictures: RgbPicture[] = [];
    for (const [i, source] of sources.entries()) pictures.push(await readPicture(source, i));

    const signal = options.signal ?? new AbortController().signal;
    const { configs, dtype } = this.#runtime.info;
    const context: Context = { runtime: this.#runtime, configs, dtype, signal };
    const { numVideosPerPrompt: perImage, seeds } = parameters;
    const clipCount = pictures.length * perImage;
    const frames: FramesOf<T>[] = [];
    for (let clipIndex = 0; clipIndex < clipCount; clipIndex++) {
      const conditioning = await conditionClip(
        {
          picture: pictures[Math.floor(clipIndex / perImage)]!,
          parameters,
          noise: { seeds, imageCount: pictures.length, clipCount, clipIndex },
          latents: options.latents ? clipOf(options.latents, clipIndex) : null,
        },
        context,
      );
      const latents = await denoise(conditioning, parameters, context, {
        clipIndex,
        onStepEnd: options.callbackOnStepEnd,
      });
      frames.push((await toFrames(latents, parameters, context, options)) as FramesOf<T>);
    }
    return { frames, seeds, parameters };
  }
}

/** @returns finished latents [F, C, h, w] */
async function denoise(
  conditioning: Conditioning,
  parameters: JobParameters,
  { runtime, configs, dtype, signal }: Context,
  clip: {
    readonly clipIndex: number;
    readonly onStepEnd: CallOptions["callbackOnStepEnd"] | undefined;
  },
): Promise<Tensor> {
  let replica = createReplica(conditioning, parameters, configs.scheduler, undefined, dtype);
  const computer = new HalfComputer(runtime);
  while (replica.step < replica.stepCount) {
    const answers: Tensor[] = [];
    for (const half of replica.halves) {
      await nextTurn();
      refuseAborted(signal);
      answers.push(await computer.compute(replica, half));
    }
    const { step } = replica;
    replica.apply(answers.length === 2 ? answers[0]! : null, answers.at(-1)!);
    const end = { clipIndex: clip.clipIndex, latents: replica.latents };
    const answer = await clip.onStepEnd?.(step, replica.table.timesteps[step]!, end);
    if (answer === undefined) continue;
    const from = { step: replica.step, latents: answer.latents };
    replica = createReplica(conditioning, parameters, configs.scheduler, from, dtype);
  }
  return replica.latents;
}

async function toFrames(
  latents: Tensor,
  parameters: JobParameters,
  context: Context,
  { outputType = "rgb" }: CallOptions,
): Promise<Tensor | readonly RgbPicture[]> {
  if (outputType === "latent") return latents;
  const chunks: Tensor[] = [];
  for (const place of planChunks(parameters.numFrames, parameters.decodeChunkSize)) {
    await nextTurn();
    refuseAborted(context.signal);
    chunks.push(await decodeChunk(chunkLatents(latents, place), context));
  }
  const [, height, width] = chunks[0]!.shape as [number, number, number];
  const size = height * width * 3;
  if (outputType === "rgb") {
    return chunks.flatMap(({ data }) =>
      Array.from({ length: data.length / size }, (_, i) =>
        rgbPicture(width, height, framesToBytes(data.subarray(i * size, (i + 1) * size))),
      ),
    );
  }
  const whole = new Float32Array(parameters.numFrames * size);
  let at = 0;
  for (const { data } of chunks) {
    whole.set(data, at);
    at += data.length;
  }
  return tensor([parameters.numFrames, height, width, 3], whole);
}

async function readPicture(source: PictureSource, index: number): Promise<RgbPicture> {
  if (source instanceof Uint8Array) return decodePicture(source, `image[${index}]`);
  if (typeof source !== "string" && !(source instanceof URL)) {
    const { width, height, data } = source;
    const problem = clipPixelsSizeProblem(width, height);
    if (problem === null && data.length === width * height * 3) {
      return rgbPicture(width, height, data);
    }
    const bytes = `${data.length} bytes for ${width}x${height} pixels of 3 bytes`;
    throw refusal([{ field: `image[${index}]`, description: problem ?? bytes }]);
  }
  const file = await readFile(source).catch((error: NodeJS.ErrnoException) => {
    const description = `'${String(source)}' cannot be read (${error.code})`;
    throw new FarmError("invalid-argument", `image: ${description}`, {
      violations: [{ field: "image", description }],
    });
  });
  return decodePicture(file, String(source));
}

/** Entry i of a batch [clips, ...]: a view. */
function clipOf({ shape, data }: Tensor, i: number): Tensor {
  const [, ...rest] = shape;
  const size = elementCount(rest);
  return { shape: rest, data: data.subarray(i * size, (i + 1) * size) };
}
