/** @file What a picture file is by its first bytes, its name proves nothing; and how large it may be. */

export type PictureFormat = "png" | "jpeg" | "webp";

/** A picture of up to 4096 x 4096 pixels, whatever its sides. */
export const PICTURE_PIXELS_MAX = 16_777_216;

/** What is wrong with a picture of this size; null when nothing is. */
export function pictureSizeProblem(width: number, height: number): string | null {
  if (width * height <= PICTURE_PIXELS_MAX) return null;
  return `has ${width} x ${height} pixels, more than ${PICTURE_PIXELS_MAX} (4096 x 4096); make it smaller`;
}

/** Bytes that tell which. */
const FORMAT_BYTES = 12;

/** What is said of a file that is none of these. */
export const NO_PICTURE = "is neither png, jpeg nor webp; convert it to one of them";

/**
 * The format of a file that nodes can decode; null for any other.
 *
 * @param file its bytes, or the first 12 of them
 */
export function pictureFormatOf(file: Uint8Array): PictureFormat | null {
  const head = Buffer.from(file.subarray(0, FORMAT_BYTES)).toString("latin1");
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "png";
  if (head.startsWith("\xff\xd8\xff")) return "jpeg";
  if (head.startsWith("RIFF") && head.slice(8) === "WEBP") return "webp";
  return null;
}
