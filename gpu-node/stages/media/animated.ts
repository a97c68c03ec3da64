/** @file Frames to an animated gif or webp that repeats for ever. */
import sharp from "sharp";

export interface AnimationFormat {
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  readonly frames: number;
  /** Frames a second. */
  readonly fps: number;
}

/** Browsers show a gif frame of less than 20 ms for 100 ms. */
const GIF_DELAY_MS_MIN = 20;

/**
 * @param frames 8-bit RGB, row-major [frames, height, width, 3]; whole, since a palette or a
 *   difference between frames needs them all
 * @returns the file
 */
export async function encodeGif(frames: Uint8Array, format: AnimationFormat): Promise<Uint8Array> {
  const delay = frameDelaysMs(format, 10).map((ms) => Math.max(ms, GIF_DELAY_MS_MIN));
  return animation(frames, format).gif({ delay, loop: 0, keepDuplicateFrames: true }).toBuffer();
}

/** As `encodeGif`. */
export async function encodeWebp(frames: Uint8Array, format: AnimationFormat): Promise<Uint8Array> {
  const delay = frameDelaysMs(format, 1);
  return animation(frames, format).webp({ delay, loop: 0, quality: 90 }).toBuffer();
}

function animation(frames: Uint8Array, { width, height, frames: count }: AnimationFormat) {
  const raw = { width, height: height * count, channels: 3 as const, pageHeight: height };
  return sharp(frames, { raw, limitInputPixels: false });
}

/**
 * How long each frame is shown, in ms, as multiples of the format's unit: each frame ends at the
 * multiple nearest to its true end, so that errors do not add up.
 */
function frameDelaysMs(format: Pick<AnimationFormat, "frames" | "fps">, unitMs: number): number[] {
  const endOf = (frame: number) => Math.round((frame * 1000) / format.fps / unitMs) * unitMs;
  return Array.from({ length: format.frames }, (_, i) => endOf(i + 1) - endOf(i));
}
