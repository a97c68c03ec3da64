/** @file Frames to an mp4 that browsers play while it loads: h264, yuv420p, index at the front. */
import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { asFarmError, FarmError } from "../../../shared/core/errors.js";

export interface VideoFormat {
  /** Pixels, even. */
  readonly width: number;
  /** Pixels, even. */
  readonly height: number;
  /** Frames a second. */
  readonly fps: number;
}

/** What is kept of ffmpeg's complaints for the error's text. */
const STDERR_LINES_KEPT = 6;

/**
 * Writes an mp4.
 *
 * One encoder thread, bit-exact flags and no metadata: equal frames give equal bytes with the same
 * ffmpeg. Colours are BT.709, and marked so.
 *
 * @param ffmpegPath what `findFfmpeg` found
 * @param frames 8-bit RGB, row-major [n, height, width, 3], cut anywhere
 * @param outPath does not exist yet
 * @param signal kills ffmpeg
 * @throws FarmError "tool-failed" with ffmpeg's last words, "cancelled" after an abort; whatever
 *   `frames` throws
 */
export async function writeMp4(
  ffmpegPath: string,
  frames: AsyncIterable<Uint8Array>,
  format: VideoFormat,
  outPath: string,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) throw cancelled();
  const child = spawn(ffmpegPath, mp4Arguments(format, outPath), {
    stdio: ["pipe", "ignore", "pipe"],
  });
  const abort = () => child.kill("SIGKILL");
  signal.addEventListener("abort", abort, { once: true });

  let words = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-4096);
  });
  const exited = new Promise<string | null>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signalName) =>
      resolve(code === 0 ? null : `exit ${code ?? signalName}`),
    );
  });
  try {
    // ffmpeg that ends early closes its stdin; how it ended says more than the broken pipe.
    const fed = await pipeline(Readable.from(frames, { objectMode: true }), child.stdin).then(
      () => null,
      (error: unknown) => error,
    );
    if (fed !== null && !isPipeError(fed)) {
      abort();
      await exited;
      throw asFarmError(fed, "tool-failed");
    }
    const failure = await exited;
    if (signal.aborted) throw cancelled();
    if (failure !== null) throw failed(ffmpegPath, failure, words);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function mp4Arguments({ width, height, fps }: VideoFormat, outPath: string): string[] {
  const input = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", `${width}x${height}`, "-r", `${fps}`];
  const toYuv =
    "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+bitexact";
  const colour = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"];
  const encoder = ["-c:v", "libx264", "-preset", "medium", "-crf", "17", "-threads", "1"];
  const exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1"];
  return [
    ...["-hide_banner", "-loglevel", "error", "-nostats", "-n"],
    ...[...input, "-i", "pipe:0", "-an", "-vf", toYuv, "-pix_fmt", "yuv420p"],
    ...[...encoder, ...colour, "-color_range", "tv", ...exact],
    ...["-movflags", "+faststart", "-f", "mp4", outPath],
  ];
}

/** Errors of writing to a process that is gone. */
function isPipeError(error: unknown): boolean {
  return PIPE_ERRORS.has((error as NodeJS.ErrnoException).code ?? "");
}
const PIPE_ERRORS = new Set([
  "EPIPE",
  "ECONNRESET",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_PREMATURE_CLOSE",
]);

function failed(path: string, how: string, words: string): FarmError {
  const lines = words.trim().split(/\r?\n/).slice(-STDERR_LINES_KEPT).join(" | ");
  return new FarmError("tool-failed", `${path}: ${how}${lines === "" ? "" : `: ${lines}`}`);
}

function cancelled(): FarmError {
  return new FarmError("cancelled", "encoding was stopped");
}
