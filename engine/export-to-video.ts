/** @file Frames of the pipeline to a file that people can play. */
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, extname, join, resolve } from "node:path";
import { framesToBytes } from "../gpu-node/diffusion/frames.js";
import type { RgbPicture } from "../gpu-node/diffusion/rgb-picture.js";
import { encodeGif, encodeWebp } from "../gpu-node/stages/media/animated.js";
import { FFMPEG_VARIABLE, findFfmpeg } from "../gpu-node/stages/media/find-ffmpeg.js";
import { writeMp4 } from "../gpu-node/stages/media/mp4.js";
import { FarmError, refuseViolations } from "../shared/core/errors.js";
import { FPS } from "../shared/farm/limits.js";
import type { Tensor } from "../shared/tensor/tensor.js";

/** Frames a second where none are named, as the pipeline's own default. */
const FPS_DEFAULT = 7;
const EXTENSIONS = [".mp4", ".gif", ".webp"];

/** Frames in 8 bits [frames, height, width, 3], and their size. */
interface Clip {
  readonly width: number;
  readonly height: number;
  readonly frames: readonly Uint8Array[];
}

/**
 * Writes mp4, gif or webp, as the path's extension says; a file at the path is replaced when the new
 * one is whole. Equal frames give the bytes that a farm's files have.
 *
 * @param frames one clip of `StableVideoDiffusion.run`, as pictures or as float32
 * @param fps    frames a second, 1..240
 * @returns the path
 * @throws FarmError "invalid-argument" for frames or a path that cannot be written, "tool-failed"
 *   without a working ffmpeg (mp4 only)
 */
export async function exportToVideo(
  frames: readonly RgbPicture[] | Tensor,
  path: string,
  fps: number = FPS_DEFAULT,
): Promise<string> {
  const extension = extname(path).toLowerCase();
  const clip = "data" in frames ? clipOfTensor(frames) : clipOfPictures(frames);
  refuseUnwritable(clip, { extension, fps });
  // Beside its final place, so that moving it there is one step.
  const folder = await mkdtemp(join(dirname(resolve(path)), ".renderfarm-"));
  try {
    const staged = join(folder, `clip${extension}`);
    await writeClip(clip, fps, staged, extension);
    await rename(staged, path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return path;
}

async function writeClip(clip: Clip, fps: number, path: string, extension: string): Promise<void> {
  const { width, height, frames } = clip;
  if (extension !== ".mp4") {
    const encode = extension === ".gif" ? encodeGif : encodeWebp;
    const format = { width, height, frames: frames.length, fps };
    await writeFile(path, await encode(Uint8Array.from(Buffer.concat(frames)), format));
    return;
  }
  const ffmpeg = await findFfmpeg();
  if (ffmpeg === null) {
    const detail = `mp4 needs ffmpeg, and this machine has none: install it, set ${FFMPEG_VARIABLE} to its path, or write .gif or .webp`;
    throw new FarmError("tool-failed", detail);
  }
  const never = new AbortController().signal;
  await writeMp4(ffmpeg.path, each(frames), { width, height, fps }, path, never);
}

async function* each(frames: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* frames;
}

function clipOfTensor({ shape, data }: Tensor): Clip {
  const [count = 0, height = 0, width = 0, channels] = shape;
  if (shape.length !== 4 || channels !== 3) {
    const description = `have shape [${shape.join(", ")}], not [frames, height, width, 3]`;
    refuseViolations([{ field: "frames", description }]);
  }
  const size = height * width * 3;
  const frames = Array.from({ length: count }, (_, i) =>
    framesToBytes(data.subarray(i * size, (i + 1) * size)),
  );
  return { width, height, frames };
}

function clipOfPictures(pictures: readonly RgbPicture[]): Clip {
  const { width = 0, height = 0 } = pictures[0] ?? {};
  const odd = pictures.findIndex((p) => p.width !== width || p.height !== height);
  if (odd >= 0) {
    const { width: w, height: h } = pictures[odd]!;
    const description = `frame ${odd} is ${w}x${h}, the first one ${width}x${height}`;
    refuseViolations([{ field: "frames", description }]);
  }
  return { width, height, frames: pictures.map((picture) => picture.data) };
}

function refuseUnwritable(
  { frames, width, height }: Clip,
  { extension, fps }: { readonly extension: string; readonly fps: number },
): void {
  const violations = [];
  if (frames.length === 0) violations.push({ field: "frames", description: "there are none" });
  if (!EXTENSIONS.includes(extension)) {
    const description = `ends in '${extension}'; legal are ${EXTENSIONS.join(", ")}`;
    violations.push({ field: "path", description });
  }
  if (extension === ".mp4" && (width % 2 !== 0 || height % 2 !== 0)) {
    const description = `are ${width}x${height}; an mp4 wants even sides`;
    violations.push({ field: "frames", description });
  }
  if (!Number.isInteger(fps) || fps < FPS.min || fps > FPS.max) {
    const description = `${fps} is no whole number from ${FPS.min} to ${FPS.max}`;
    violations.push({ field: "fps", description });
  }
  refuseViolations(violations);
}
