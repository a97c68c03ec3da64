/** @file Stage: all chunks of a clip -> its files, in every format asked for. */
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assertNever } from "../../shared/core/assert.js";
import { FarmError } from "../../shared/core/errors.js";
import type { OutputFormat } from "../../shared/farm/parameters.js";
import type { MuxWork, Output } from "../../shared/farm/work.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import { type ClipFrames, eachFrame, openClipFrames } from "./clip-frames.js";
import { type ClipPlace, outputKey } from "./keys.js";
import { encodeGif, encodeWebp } from "./media/animated.js";
import { clipSafetensors } from "./media/clip-safetensors.js";
import { FFMPEG_VARIABLE, type Ffmpeg } from "./media/find-ffmpeg.js";
import { writeMp4 } from "./media/mp4.js";
import { encodePng, pngFileName } from "./media/png.js";
import { encodeSidecar } from "./media/sidecar.js";
import { refuseAborted } from "./stage-context.js";
import { decodeLatents } from "./tensor-blobs.js";

export interface MuxContext {
  readonly blobs: BlobStore;
  /** What `findFfmpeg` found when the node started. */
  readonly ffmpeg: Ffmpeg | null;
  /** Version of renderfarm, for the sidecar. */
  readonly version: string;
  readonly signal: AbortSignal;
}

/**
 * Writes a clip's files. Chunks are read again for every format: no more than one chunk is in memory
 * at a time, except for gif and webp, which need the whole clip in 8 bits.
 *
 * @returns the files in the order of the formats asked for; an mp4 is followed by its clip.json
 * @throws FarmError "tool-failed" without a working ffmpeg, "cancelled" after an abort, and what the
 *   store throws
 */
export async function runMux(
  work: MuxWork,
  place: ClipPlace,
  context: MuxContext,
): Promise<Output[]> {
  const frames = openClipFrames(context.blobs, work.chunks, work.parameters, () =>
    refuseAborted(context.signal),
  );
  const outputs: Output[] = [];
  for (const format of work.formats) {
    refuseAborted(context.signal);
    outputs.push(...(await writeFormat(format, { work, place, context, frames })));
  }
  return outputs;
}

interface Mux {
  readonly work: MuxWork;
  readonly place: ClipPlace;
  readonly context: MuxContext;
  readonly frames: ClipFrames;
}

async function writeFormat(format: OutputFormat, mux: Mux): Promise<Output[]> {
  switch (format) {
    case "mp4":
      return muxMp4(mux);
    case "gif":
      return [await putFile(mux, format, "clip.gif", await encodeAnimation(mux, encodeGif))];
    case "webp":
      return [await putFile(mux, format, "clip.webp", await encodeAnimation(mux, encodeWebp))];
    case "png":
      return muxPng(mux);
    case "safetensors":
      return [await muxSafetensors(mux)];
    default:
      return assertNever(format);
  }
}

/** The mp4's index goes to its front at the end, so it is written to a file and then stored. */
async function muxMp4(mux: Mux): Promise<Output[]> {
  const { work, context, frames } = mux;
  if (context.ffmpeg === null) {
    throw new FarmError(
      "tool-failed",
      `mp4 needs ffmpeg, and this machine has none: install it, set ${FFMPEG_VARIABLE} to its path, or choose another format`,
    );
  }
  const folder = await mkdtemp(join(tmpdir(), "renderfarm-mux-"));
  try {
    const path = join(folder, "clip.mp4");
    await writeMp4(context.ffmpeg.path, frames.bytes(), work.parameters, path, context.signal);
    const video = await putFile(mux, "mp4", "clip.mp4", createReadStream(path));
    const sidecar = encodeSidecar({
      ...work,
      version: context.version,
      fileName: video.fileName,
      sha256: video.blob.sha256,
    });
    return [video, await putFile(mux, "mp4", "clip.json", sidecar)];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function encodeAnimation(mux: Mux, encode: typeof encodeGif): Promise<Uint8Array> {
  const [count, height, width] = mux.frames.shape;
  const whole = new Uint8Array(count * height * width * 3);
  let at = 0;
  for await (const piece of mux.frames.bytes()) {
    whole.set(piece, at);
    at += piece.length;
  }
  return encode(whole, { width, height, frames: count, fps: mux.work.parameters.fps });
}

async function muxPng(mux: Mux): Promise<Output[]> {
  const [count, height, width] = mux.frames.shape;
  const outputs: Output[] = [];
  for await (const frame of eachFrame(mux.frames.bytes(), height * width * 3)) {
    const name = pngFileName(outputs.length, count);
    outputs.push(await putFile(mux, "png", name, await encodePng(frame, { width, height })));
  }
  return outputs;
}

async function muxSafetensors(mux: Mux): Promise<Output> {
  const latents = decodeLatents(await mux.context.blobs.get(mux.work.latents));
  const file = clipSafetensors(mux.frames.shape, mux.frames.floats(), latents);
  return putFile(mux, "safetensors", "clip.safetensors", file);
}

async function putFile(
  { place, context }: Mux,
  format: OutputFormat,
  fileName: string,
  content: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<Output> {
  return { format, fileName, blob: await context.blobs.put(outputKey(place, fileName), content) };
}
