/** @file Inputs on their way in and outputs on their way out: streams of pieces, never whole files. */
import { randomBytes } from "node:crypto";
import type { ServerReadableStream, ServerWritableStream } from "@grpc/grpc-js";
import type {
  DownloadOutputRequest,
  DownloadOutputResponse,
  UploadInputRequest,
  UploadInputResponse,
} from "../../proto/gen/renderfarm/v1/job_service.js";
import { encodeBlobRef } from "../../shared/adapters/grpc/blob-codec.js";
import { FarmError } from "../../shared/core/errors.js";
import { idFromBytes } from "../../shared/core/ids.js";
import { INPUT_BYTES_MAX } from "../../shared/farm/limits.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";

/** Bytes of one piece on the way out: small enough for every client's default limits. */
const PIECE_BYTES_MAX = 256 * 1024;

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

/**
 * @param sender its owner (null on a farm without keys), and what it may still send
 * @throws FarmError "invalid-argument" when the input is empty or too long, and what `admit` throws
 */
export async function storeInput(
  blobs: BlobStore,
  call: ServerReadableStream<UploadInputRequest, UploadInputResponse>,
  sender: InputSender,
): Promise<UploadInputResponse> {
  const ref = await blobs.put(newInputKey(sender.owner), pieces(call, sender));
  return { blob: encodeBlobRef(ref) };
}

export interface InputSender {
  readonly owner: string | null;
  /** Called for every piece; throws when its bytes are too many. */
  readonly admit: (bytes: number) => void;
}

async function* pieces(
  call: AsyncIterable<UploadInputRequest>,
  { admit }: InputSender,
): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const { piece } of call) {
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

/** Streams one blob; waits for the client, so a slow one holds one piece and no more. */
export async function sendBlob(
  blobs: BlobStore,
  ref: BlobRef,
  call: ServerWritableStream<DownloadOutputRequest, DownloadOutputResponse>,
): Promise<void> {
  for await (const bytes of blobs.read(ref)) {
    for (let start = 0; start < bytes.length; start += PIECE_BYTES_MAX) {
      if (call.cancelled) return;
      const piece = Buffer.from(bytes.subarray(start, start + PIECE_BYTES_MAX));
      if (!call.write({ piece })) await drained(call);
    }
  }
  call.end();
}

function drained(call: ServerWritableStream<unknown, unknown>): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      call.off("drain", go);
      call.off("cancelled", go);
      resolve();
    };
    call.on("drain", go);
    call.on("cancelled", go);
  });
}
