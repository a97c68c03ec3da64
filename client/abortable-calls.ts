/** @file gRPC calls as promises and async iterables that an AbortSignal ends. */
import type {
  CallOptions,
  ClientReadableStream,
  ClientWritableStream,
  ServiceError,
} from "@grpc/grpc-js";
import { FarmError } from "../shared/core/errors.js";

/** Starts a call that has one answer. */
export type UnaryCall<A> = (
  done: (error: ServiceError | null, answer: A) => void,
  options: CallOptions,
) => { cancel(): void };

/** Bytes of one upload message; the service takes up to 1 MiB. */
const PIECE_BYTES = 512 * 1024;

/** @throws ServiceError as gRPC gives it, FarmError "cancelled" after an abort */
export async function unaryCall<A>(
  start: UnaryCall<A>,
  options: CallOptions,
  signal?: AbortSignal,
): Promise<A> {
  if (signal?.aborted) throw interrupted();
  let cancel = () => {};
  try {
    return await new Promise((resolve, reject) => {
      const call = start((error, answer) => {
        if (!error) resolve(answer);
        else reject(signal?.aborted ? interrupted() : error);
      }, options);
      cancel = () => call.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
    });
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

/**
 * The messages of a server stream; leaving the loop early, or an abort, cancels the call.
 *
 * @throws as `unaryCall`
 */
export async function* streamCall<A>(
  call: ClientReadableStream<A>,
  signal?: AbortSignal,
): AsyncGenerator<A> {
  const cancel = () => call.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  // A late "cancelled" of a stream that nobody reads any more must not end the process.
  call.on("error", () => {});
  try {
    if (signal?.aborted) throw interrupted();
    yield* call as AsyncIterable<A>;
  } catch (error) {
    throw signal?.aborted ? interrupted() : (error as ServiceError);
  } finally {
    signal?.removeEventListener("abort", cancel);
    call.cancel();
  }
}

/** Writes no faster than the server takes; how the call ends is its callback's to tell. */
export async function sendPieces(
  call: ClientWritableStream<{ piece: Buffer }>,
  bytes: Uint8Array,
): Promise<void> {
  let isOpen = true;
  const ended = new Promise<void>((resolve) => {
    call.once("status", () => {
      isOpen = false;
      resolve();
    });
  });
  for (let at = 0; at < bytes.length && isOpen; at += PIECE_BYTES) {
    const piece = Buffer.from(bytes.subarray(at, at + PIECE_BYTES));
    const hasRoom = call.write({ piece });
    if (!hasRoom) await Promise.race([ended, new Promise((r) => call.once("drain", r))]);
  }
  call.end();
}

/** Options of a call that may take this long. */
export function deadlineIn(ms: number): CallOptions {
  return { deadline: Date.now() + ms };
}

/** What an abort is for whoever waited. */
export function interrupted(): FarmError {
  return new FarmError("cancelled", "interrupted");
}
