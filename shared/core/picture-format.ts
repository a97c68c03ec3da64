/** @file What a picture file is by its first bytes; its name proves nothing. */

export type PictureFormat = "png" | "jpeg" | "webp";

/** Bytes that tell. */
export const PICTURE_HEAD_BYTES = 12;

/** What is said of a file that is none of these. */
export const NO_PICTURE = "is neither png, jpeg nor webp; convert it to one of them";

/**
 * The format of a file that nodes can decode; null for any other.
 *
 * @param file its bytes, or the first `PICTURE_HEAD_BYTES` of them
 */
export function pictureFormatOf(file: Uint8Array): PictureFormat | null {
  const head = Buffer.from(file.subarray(0, PICTURE_HEAD_BYTES)).toString("latin1");
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "png";
  if (head.startsWith("\xff\xd8\xff")) return "jpeg";
  if (head.startsWith("RIFF") && head.slice(8) === "WEBP") return "webp";
  return null;
}
