/** @file The blobs that stages hand to each other: safetensors files with fixed names inside. */
import { FarmError } from "../../shared/core/errors.js";
import {
  decodeSafetensorsHeader,
  decodeTensors,
  encodeSafetensorsFile,
  toSafetensorsTensor,
} from "../../shared/tensor/safetensors.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import type { ReplicaState } from "./denoise-maths.js";

/** What a clip's denoising starts from. */
export interface Conditioning {
  /** CLIP's embedding of the picture [1, 1, D]. */
  readonly imageEmbedding: Tensor;
  /** The encoded, noised picture [C, h, w]; not scaled. */
  readonly imageLatents: Tensor;
  /** Noise times init_noise_sigma [F, C, h, w]. */
  readonly initialLatents: Tensor;
}

/** What `condition` leaves for `denoise`. */
export interface ConditioningBlob extends Conditioning {
  /** What `fitColourMap` gives for the checkpoint [C + 1, 3]; null where no previews are wanted. */
  readonly colourMap: Tensor | null;
}

export function encodeConditioning(conditioning: ConditioningBlob): Uint8Array {
  const { imageEmbedding, imageLatents, initialLatents, colourMap } = conditioning;
  return encodeSafetensorsFile([
    ["image_embedding", toSafetensorsTensor(imageEmbedding)],
    ["image_latents", toSafetensorsTensor(imageLatents)],
    ["initial_latents", toSafetensorsTensor(initialLatents)],
    ...(colourMap ? [["colour_map", toSafetensorsTensor(colourMap)] as const] : []),
  ]);
}

/** @throws FarmError "blob-corrupt" when the blob is something else */
export function decodeConditioning(blob: Uint8Array): ConditioningBlob {
  const tensors = tensorsOf(blob, "conditioning");
  return {
    imageEmbedding: named(tensors, "image_embedding", 3),
    imageLatents: named(tensors, "image_latents", 3),
    initialLatents: named(tensors, "initial_latents", 4),
    colourMap: tensors.has("colour_map") ? named(tensors, "colour_map", 2) : null,
  };
}

/** @param latents finished latents [F, C, h, w] */
export function encodeLatents(latents: Tensor): Uint8Array {
  return encodeSafetensorsFile([["latents", toSafetensorsTensor(latents)]]);
}

/** Latents on their way: those after `state.step` steps, and what else it takes to go on. */
export function encodeStepLatents({ latents, whole }: ReplicaState): Uint8Array {
  if (!whole) return encodeLatents(latents);
  return encodeSafetensorsFile([
    ["latents", toSafetensorsTensor(latents)],
    ["whole_step_latents", toSafetensorsTensor(whole.latents)],
    ["whole_step", toSafetensorsTensor(tensor([1], Float32Array.of(whole.step)))],
  ]);
}

/**
 * @param step that the blob's latents come after
 * @throws FarmError "blob-corrupt" when the blob is something else
 */
export function decodeStepLatents(blob: Uint8Array, step: number): ReplicaState {
  const tensors = tensorsOf(blob, "latents");
  const latents = named(tensors, "latents", 4);
  if (!tensors.has("whole_step")) return { step, latents };
  const wholeStep = named(tensors, "whole_step", 1).data[0]!;
  const whole = { step: wholeStep, latents: named(tensors, "whole_step_latents", 4) };
  const fits =
    Number.isInteger(wholeStep) &&
    wholeStep >= 0 &&
    wholeStep < step &&
    whole.latents.shape.join() === latents.shape.join();
  if (fits) return { step, latents, whole };
  throw new FarmError("blob-corrupt", `latents of step ${step}: no step ${wholeStep} before them`);
}

/** @throws FarmError "blob-corrupt" when the blob is something else */
export function decodeLatents(blob: Uint8Array): Tensor {
  return named(tensorsOf(blob, "latents"), "latents", 4);
}

/** Frames of one chunk [n, height, width, 3]: bytes, or float32 in 0..1 as bytes little-endian. */
export interface FrameChunk {
  readonly dtype: "U8" | "F32";
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export function encodeFrames(chunk: FrameChunk): Uint8Array {
  return encodeSafetensorsFile([["frames", chunk]]);
}

/**
 * @returns a view of the blob's bytes, not a copy
 * @throws FarmError "blob-corrupt" when the blob is something else
 */
export function decodeFrames(blob: Uint8Array): FrameChunk {
  const { entries } = readBlob("frames", () =>
    decodeSafetensorsHeader(blob, blob.length, "frames"),
  );
  const entry = entries[0];
  if (entries.length !== 1 || entry?.name !== "frames" || entry.shape.length !== 4) {
    throw new FarmError("blob-corrupt", "frames: not one tensor [n, height, width, 3]");
  }
  const { dtype, shape, begin, end } = entry;
  if (dtype !== "U8" && dtype !== "F32") {
    throw new FarmError("blob-corrupt", `frames: ${dtype} instead of U8 or F32`);
  }
  return { dtype, shape, bytes: blob.subarray(begin, end) };
}

/**
 * The initial noise of one clip in a file from a user: its tensor "latents", or its only one.
 *
 * @param shape what the job needs, [clips, frames, C, h, w]
 * @returns a view [frames, C, h, w]
 * @throws FarmError "invalid-argument" when the file holds anything else
 */
export function clipOfLatentsFile(
  file: Uint8Array,
  shape: readonly number[],
  clipIndex: number,
): Tensor {
  const tensors = decodeTensorsFromUser(file);
  const found =
    tensors.get("latents") ?? (tensors.size === 1 ? [...tensors.values()][0] : undefined);
  if (found === undefined) {
    throw refusedLatents(`holds ${tensors.size} tensors and none is named "latents"`);
  }
  if (found.shape.join() !== shape.join()) {
    throw refusedLatents(`must be [${shape.join(", ")}], is [${found.shape.join(", ")}]`);
  }
  const [, ...clipShape] = shape;
  const values = elementCount(clipShape);
  return {
    shape: clipShape,
    data: found.data.subarray(clipIndex * values, (clipIndex + 1) * values),
  };
}

function decodeTensorsFromUser(file: Uint8Array): Map<string, Tensor> {
  try {
    return decodeTensors(file, "latents");
  } catch (error) {
    if (error instanceof FarmError) throw refusedLatents(error.detail, error);
    throw error;
  }
}

function refusedLatents(description: string, cause?: unknown): FarmError {
  return new FarmError("invalid-argument", `latents: ${description}`, {
    violations: [{ field: "latents", description }],
    ...(cause === undefined ? {} : { cause }),
  });
}

function tensorsOf(blob: Uint8Array, what: string): Map<string, Tensor> {
  return readBlob(what, () => decodeTensors(blob, what));
}

function named(tensors: ReadonlyMap<string, Tensor>, name: string, rank: number): Tensor {
  const found = tensors.get(name);
  if (found === undefined || found.shape.length !== rank) {
    throw new FarmError("blob-corrupt", `${name}: no such tensor of ${rank} axes in the blob`);
  }
  return found;
}

/** Our own blobs are whole or corrupt; a checkpoint they are not. */
function readBlob<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FarmError)) throw error;
    throw new FarmError("blob-corrupt", `${what}: ${error.detail}`, { cause: error });
  }
}
