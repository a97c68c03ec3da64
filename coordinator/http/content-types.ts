/** @file What kind of file something is, for browsers; anything that is not known is only bytes. */
import { pictureFormatOf } from "../../shared/core/picture-format.js";

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
  const format = pictureFormatOf(head);
  return format === null ? BYTES : `image/${format}`;
}
