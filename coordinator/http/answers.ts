/** @file Answers of the HTTP edge: JSON, errors as google.rpc.Status, and the headers of all of them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { retryAfterMs } from "../../shared/adapters/grpc/error-details.js";
import { toStatusJson } from "../../shared/adapters/grpc/status.js";
import { asFarmError, FarmError } from "../../shared/core/errors.js";

/** @source google/rpc/code.proto, the HTTP mapping in its comments */
const HTTP_OF_STATUS: Readonly<Record<number, number>> = {
  1: 499,
  3: 400,
  4: 504,
  5: 404,
  6: 409,
  7: 403,
  8: 429,
  9: 400,
  10: 409,
  11: 400,
  12: 501,
  14: 503,
  16: 401,
};

/** Everything comes from this server, nothing is inline, and no other page may frame it. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "img-src 'self' blob:",
  "media-src 'self' blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** On every answer, whatever it is. */
export function setCommonHeaders(response: ServerResponse): void {
  response.setHeader("Content-Security-Policy", CONTENT_SECURITY_POLICY);
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.setHeader("Referrer-Policy", "no-referrer");
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Resource-Policy", "same-origin");
  response.setHeader("Cache-Control", "no-store");
}

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "Content-Type": "application/json; charset=utf-8",
    "Content-Length": Buffer.byteLength(text),
  });
  response.end(text);
}

/** Whatever was thrown, as google.rpc.Status; nothing where an answer has begun already. */
export function sendError(
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = toStatusJson(error);
  const status = error instanceof HttpRefusal ? error.status : (HTTP_OF_STATUS[body.code] ?? 500);
  if (status === 401) response.setHeader("WWW-Authenticate", "Bearer");
  const retryMs = retryAfterMs(asFarmError(error));
  if (retryMs !== null) response.setHeader("Retry-After", String(Math.ceil(retryMs / 1_000)));
  // What is left of a body that was refused is not read: the connection ends with the answer.
  if (!request.complete) response.setHeader("Connection", "close");
  sendJson(response, body, status);
}

/** A refusal that HTTP has a better status for than its code has. */
export class HttpRefusal extends FarmError {
  readonly status: 403 | 405 | 413 | 415 | 416;

  constructor(status: HttpRefusal["status"], detail: string) {
    super(status === 403 ? "permission-denied" : "invalid-argument", detail);
    this.status = status;
  }
}
