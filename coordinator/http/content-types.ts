/** @file What kind of file something is, for browsers; anything that is not known is only bytes. */

const BY_EXTENSION: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  gif: "image/gif",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json; charset=utf-8",
  mp4: "video/mp4",
  png: "image/png",
  svg: "image/svg+xml",
  webp: "image/webp",
};

const BYTES = "application/octet-stream";

/** By the extension of a file that this project made. */
export function contentTypeOf(fileName: string): string {
  return BY_EXTENSION[fileName.slice(fileName.lastIndexOf(".") + 1)] ?? BYTES;
}

/** By the first bytes of a file that a user sent: raster pictures only, never what can hold a script. */
export function pictureTypeOf(head: Uint8Array): string {
  const text = Buffer.from(head.subarray(0, 16)).toString("latin1");
  if (text.startsWith("\x89PNG")) return "image/png";
  if (text.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (text.startsWith("GIF8")) return "image/gif";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "image/webp";
  if (text.slice(4, 12) === "ftypavif") return "image/avif";
  return BYTES;
}
