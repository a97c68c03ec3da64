/** @file The frames of a clip, read chunk by chunk from the store. */
import { FarmError } from "../../shared/core/errors.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";
import { framesToBytes } from "../diffusion/frames.js";
import { decodeFrames, type FrameChunk } from "./tensor-blobs.js";

export interface ClipFrames {
  /** [frames, height, width, 3]. */
  readonly shape: readonly [frames: number, height: number, width: number, channels: 3];
  /** 8-bit RGB, one whole chunk at a time. */
  bytes(): AsyncIterable<Uint8Array>;
  /** float32 in 0..1, little-endian, one whole chunk at a time. */
  floats(): AsyncIterable<Uint8Array>;
}

/**
 * @param chunks in frame order
 * @param beforeChunk runs before each chunk is read; may throw to stop
 */
export function openClipFrames(
  blobs: BlobStore,
  chunks: readonly BlobRef[],
  size: { readonly numFrames: number; readonly height: number; readonly width: number },
  beforeChunk: () => void,
): ClipFrames {
  const { numFrames, height, width } = size;

  /** Every chunk in order; throws when there are more or fewer frames than the clip has. */
  async function* read(): AsyncIterable<FrameChunk> {
    let frames = 0;
    for (const ref of chunks) {
      beforeChunk();
      const chunk = decodeFrames(await blobs.get(ref));
      const [count = 0, ...picture] = chunk.shape;
      if (picture.join() !== `${height},${width},3`) {
        throw unfit(ref, `frames of [${picture.join(", ")}] instead of [${height}, ${width}, 3]`);
      }
      frames += count;
      if (frames > numFrames) throw unfit(ref, `ends at frame ${frames} of ${numFrames}`);
      yield chunk;
    }
    if (frames < numFrames) {
      throw new FarmError(
        "blob-corrupt",
        `the chunks hold ${frames} frames instead of ${numFrames}`,
      );
    }
  }

  return {
    shape: [numFrames, height, width, 3],
    async *bytes() {
      for await (const { dtype, bytes } of read()) {
        yield dtype === "U8" ? bytes : framesToBytes(alignedFloats(bytes));
      }
    },
    async *floats() {
      for await (const { dtype, bytes } of read()) {
        if (dtype !== "F32") {
          throw new FarmError("wrong-state", "the frames were decoded to 8 bits only");
        }
        yield bytes;
      }
    },
  };
}

/**
 * Single frames of a stream of bytes.
 *
 * @param pieces whole frames each, as `ClipFrames` gives them
 */
export async function* eachFrame(
  pieces: AsyncIterable<Uint8Array>,
  frameBytes: number,
): AsyncIterable<Uint8Array> {
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; at += frameBytes) yield piece.subarray(at, at + frameBytes);
  }
}

function alignedFloats(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}

function unfit(ref: BlobRef, what: string): FarmError {
  return new FarmError("blob-corrupt", `${ref.key}: ${what}`);
}
