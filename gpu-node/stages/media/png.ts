/** @file One frame to a png. */
import sharp from "sharp";

/**
 * @param frame 8-bit RGB, row-major [height, width, 3]
 * @returns the file
 */
export async function encodePng(
  frame: Uint8Array,
  size: { readonly width: number; readonly height: number },
): Promise<Uint8Array> {
  const raw = { width: size.width, height: size.height, channels: 3 as const };
  return sharp(frame, { raw, limitInputPixels: false }).png({ compressionLevel: 9 }).toBuffer();
}

/** "frame-001.png" for frame 0; more digits where a clip has more than 999 frames. */
export function pngFileName(frame: number, frames: number): string {
  const digits = Math.max(3, String(frames).length);
  return `frame-${String(frame + 1).padStart(digits, "0")}.png`;
}
