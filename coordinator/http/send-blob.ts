/** @file Files on their way out: whole, or the part that a player asks for. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { sliceOf } from "../rpc/slice.js";
import { HttpRefusal } from "./answers.js";

/** Bytes with a known length. */
export interface SizedBytes {
  readonly size: number;
  /** Lower-case hex; the validator of caches. */
  readonly sha256: string;
  read(): AsyncIterable<Uint8Array>;
}

/** First and last byte, both included. */
interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/**
 * Answers with a file; its content never changes under one name of a finished clip's run, and the
 * validator tells when a retry made another.
 *
 * @throws HttpRefusal 416 for a range that the file does not have
 */
export async function sendBlob(
  request: IncomingMessage,
  response: ServerResponse,
  file: SizedBytes & { readonly contentType: string; readonly fileName: string },
): Promise<void> {
  const etag = `"${file.sha256}"`;
  response.setHeader("ETag", etag);
  response.setHeader("Accept-Ranges", "bytes");
  response.setHeader("Cache-Control", "private, no-cache");
  response.setHeader("Content-Type", file.contentType);
  response.setHeader("Content-Disposition", `inline; filename="${file.fileName}"`);
  if (request.headers["if-none-match"] === etag) {
    response.writeHead(304).end();
    return;
  }
  const isSame = (request.headers["if-range"] ?? etag) === etag;
  const range = isSame ? parseRange(request.headers.range, file.size, response) : null;
  const { first, last } = range ?? { first: 0, last: file.size - 1 };
  response.setHeader("Content-Length", last - first + 1);
  if (range) response.setHeader("Content-Range", `bytes ${first}-${last}/${file.size}`);
  response.writeHead(range ? 206 : 200);
  if (request.method === "HEAD") response.end();
  else {
    const isToEnd = last === file.size - 1;
    await pipeline(sliceOf(file.read(), first, isToEnd ? undefined : last), response);
  }
}

/** @returns null where the whole file is to be sent: no range, several ranges, or none that we know */
function parseRange(
  header: string | undefined,
  size: number,
  response: ServerResponse,
): ByteRange | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "");
  const [, from = "", to = ""] = match ?? [];
  if (!match || (from === "" && to === "")) return null;
  const first = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const last = from === "" || to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (first <= last) return { first, last };
  response.setHeader("Content-Range", `bytes */${size}`);
  throw new HttpRefusal(416, `the file has ${size} bytes, not ${header}`);
}
