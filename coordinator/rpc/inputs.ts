/** @file Inputs on their way in and outputs on their way out: streams of pieces, never whole files. */
import { randomBytes } from "node:crypto";
import type { ServerReadableStream, ServerWritableStream } from "@grpc/grpc-js";
import type {
  DownloadOutputRequest,
  DownloadOutputResponse,
  UploadInputRequest,
  UploadInputResponse,
} from "../../proto/gen/renderfarm/v1/job_service.js";
import { FarmError } from "../../shared/core/errors.js";
import { idFromBytes } from "../../shared/core/ids.js";
import { INPUT_BYTES_MAX } from "../../shared/farm/limits.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";

/** Bytes of one piece on the way out: what a thousand clients that do not read may hold at a time. */
const PIECE_BYTES_MAX = 32 * 1024;

/** Key of an input: its owner on a farm that knows owners, and an id. Never a user's file name. */
const INPUT_KEY_PATTERN = /^v1\/inputs\/(?:([a-z0-9-]{1,63})\/)?[a-z0-9]{26}$/;

/**
 * A place for a new input; whatever it is given, it is never a user's file name.
 *
 * @param owner null on a farm without keys
 */
export function newInputKey(owner: string | null): string {
  const folder = owner === null ? "v1/inputs" : `v1/inputs/${owner}`;
  return `${folder}/${idFromBytes(randomBytes(16))}`;
}

/**
 * @param owner whose inputs alone may be named; null: everybody's
 * @throws FarmError "invalid-argument" unless the blob was uploaded as an input
 */
export function checkInputKey(ref: BlobRef, field: string, owner: string | null): void {
  const found = INPUT_KEY_PATTERN.exec(ref.key);
  if (found && (owner === null || found[1] === owner)) return;
  const description = `'${ref.key.slice(0, 80)}' is no uploaded input; use the answer of UploadInput`;
  throw new FarmError("invalid-argument", `${field}: ${description}`, {
    violations: [{ field, description }],
  });
}

/** The pieces of an upload over gRPC. */
export async function* piecesOf(
  call: ServerReadableStream<UploadInputRequest, UploadInputResponse>,
): AsyncGenerator<Uint8Array> {
  for await (const { piece } of call as AsyncIterable<UploadInputRequest>) yield piece;
}

/**
 * The same pieces for as long as the input is not too long.
 *
 * @param admit called for every piece; throws when its bytes are more than its sender may send
 * @throws FarmError "invalid-argument" when the input is empty or too long, and what `admit` throws
 */
export async function* boundedInput(
  pieces: AsyncIterable<Uint8Array>,
  admit: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const piece of pieces) {
    size += piece.length;
    admit(piece.length);
    if (size > INPUT_BYTES_MAX) {
      throw new FarmError(
        "invalid-argument",
        `the input is longer than ${INPUT_BYTES_MAX} bytes, the most one input may have`,
      );
    }
    yield piece;
  }
  if (size === 0) throw new FarmError("invalid-argument", "the input is empty");
}

/** Streams bytes; waits for the client, so a slow one holds one piece and no more. */
export async function sendPieces(
  pieces: AsyncIterable<Uint8Array>,
  call: ServerWritableStream<DownloadOutputRequest, DownloadOutputResponse>,
): Promise<void> {
  for await (const bytes of pieces) {
    for (let start = 0; start < bytes.length; start += PIECE_BYTES_MAX) {
      if (call.cancelled) return;
      const length = Math.min(PIECE_BYTES_MAX, bytes.length - start);
      const piece = Buffer.from(bytes.buffer, bytes.byteOffset + start, length);
      await written(call, { piece });
    }
  }
  call.end();
}

/**
 * Writes a message; resolves once it is on its way, or the client has gone. What `write` returns is
 * no help: the stream counts messages, not bytes, and says that it is full at sixteen.
 */
export function written<A>(call: ServerWritableStream<unknown, A>, message: A): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      call.off("cancelled", go);
      resolve();
    };
    call.on("cancelled", go);
    call.write(message, go);
  });
}
