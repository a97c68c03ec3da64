/** @file How bytes get into an S3 store: whole in one request, or in parts that appear at once. */
import { createHash, randomUUID } from "node:crypto";
import type { S3Calls } from "./s3-calls.js";
import type { S3Client, S3Part } from "./s3-client.js";
import { S3Failure } from "./s3-failure.js";

/** What a put stores: how many bytes, and their checksum as lower-case hex. */
export interface Stored {
  readonly size: number;
  readonly sha256: string;
}

/** Bytes of one request. What is larger goes in parts; S3 wants each but the last over 5 MiB. */
const PART_BYTES_MAX = 64 * 1024 * 1024;

/** Header of every object that came in one request. */
const SHA256_HEADER = "x-amz-meta-sha256";
/** Names one call of `putIfAbsent`, so that it knows its own object after a lost answer. */
const PUT_HEADER = "x-amz-meta-put";

export class S3Puts {
  readonly #client: S3Client;
  readonly #calls: S3Calls;
  readonly #partBytes: number;

  /** @param partBytes 5 MiB to PART_BYTES_MAX; default PART_BYTES_MAX */
  constructor(client: S3Client, calls: S3Calls, partBytes = PART_BYTES_MAX) {
    this.#client = client;
    this.#calls = calls;
    this.#partBytes = partBytes;
  }

  /** @throws S3Failure, or what the source throws */
  async put(name: string, pieces: Uint8Array | AsyncIterable<Uint8Array>): Promise<Stored> {
    const parts = partsOf(pieces, this.#partBytes);
    const first = await nextPart(parts);
    if (first.length < this.#partBytes) return this.#putWhole(name, first);
    const second = await nextPart(parts);
    if (second.length === 0) return this.#putWhole(name, first);
    return this.#putParts(name, [first, second], parts);
  }

  /** @returns whether the object is this call's; false: there was one */
  async putIfAbsent(name: string, bytes: Buffer): Promise<boolean> {
    const sha256 = sha256Of(bytes);
    const put = randomUUID();
    const headers = { [SHA256_HEADER]: sha256, [PUT_HEADER]: put, "if-none-match": "*" };
    // Whether an earlier try may have stored it although its answer never came.
    let isInDoubt = false;
    try {
      return await this.#calls.run(bytes.length, async (signal) => {
        try {
          await this.#client.put(name, bytes, headers, { sha256, signal });
          return true;
        } catch (error) {
          if (isRefusal(error)) return isInDoubt && (await this.#isOwn(name, put));
          isInDoubt ||= error instanceof S3Failure && error.isAmbiguous;
          throw error;
        }
      });
    } catch (error) {
      if (!isInDoubt) throw error;
      const found = await this.#calls.run(0, (signal) => this.#client.stat(name, signal));
      if (found === null) throw error;
      return found.metadata["put"] === put;
    }
  }

  async #isOwn(name: string, put: string): Promise<boolean> {
    const found = await this.#calls.run(0, (signal) => this.#client.stat(name, signal));
    return found?.metadata["put"] === put;
  }

  async #putWhole(name: string, bytes: Buffer): Promise<Stored> {
    const sha256 = sha256Of(bytes);
    await this.#calls.run(bytes.length, (signal) =>
      this.#client.put(name, bytes, { [SHA256_HEADER]: sha256 }, { sha256, signal }),
    );
    return { size: bytes.length, sha256 };
  }

  /** The checksum is known only at the end, so such an object has it in no header. */
  async #putParts(
    name: string,
    begun: readonly Buffer[],
    rest: AsyncIterator<Buffer>,
  ): Promise<Stored> {
    const hash = createHash("sha256");
    const done: S3Part[] = [];
    let size = 0;
    const id = await this.#calls.run(0, (signal) => this.#client.beginUpload(name, signal));
    try {
      const put = async (bytes: Buffer): Promise<void> => {
        hash.update(bytes);
        size += bytes.length;
        const upload = { name, id, part: done.length + 1 };
        done.push(
          await this.#calls.run(bytes.length, (s) => this.#client.putPart(upload, bytes, s)),
        );
      };
      for (const bytes of begun) await put(bytes);
      for (;;) {
        const bytes = await nextPart(rest);
        if (bytes.length === 0) break;
        await put(bytes);
      }
      await this.#finish({ name, id }, done, size);
      return { size, sha256: hash.digest("hex") };
    } catch (error) {
      // Best effort: what stays is swept at the next start of a coordinator.
      await this.#calls
        .once(this.#calls.allowanceMs(0), (s) => this.#client.abandonUpload({ name, id }, s))
        .catch(() => {});
      throw error;
    }
  }

  /** A second try of it finds no upload where the first one's answer was lost: then the object is there. */
  async #finish(
    upload: { readonly name: string; readonly id: string },
    parts: readonly S3Part[],
    size: number,
  ): Promise<void> {
    await this.#calls.run(0, async (signal, tryNumber) => {
      try {
        await this.#client.finishUpload(upload, parts, signal);
      } catch (error) {
        const isGone = error instanceof S3Failure && error.code === "NoSuchUpload";
        if (!isGone || tryNumber === 1) throw error;
        const found = await this.#client.stat(upload.name, signal);
        if (found?.size !== size) throw error;
      }
    });
  }
}

/** 412: the condition does not hold, the object is there. */
function isRefusal(error: unknown): boolean {
  return error instanceof S3Failure && error.status === 412;
}

/** Pieces joined to parts of one length, of which the last may be shorter; no empty part. */
async function* partsOf(
  pieces: Uint8Array | AsyncIterable<Uint8Array>,
  partBytes: number,
): AsyncGenerator<Buffer, undefined> {
  if (pieces instanceof Uint8Array) {
    for (let at = 0; at < pieces.length; at += partBytes) {
      const length = Math.min(partBytes, pieces.length - at);
      yield Buffer.from(pieces.buffer, pieces.byteOffset + at, length);
    }
    return;
  }
  let waiting: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    for (let rest = piece; rest.length > 0; ) {
      const taken = rest.subarray(0, partBytes - length);
      // The source may use its memory again for the next piece.
      waiting.push(Buffer.from(taken));
      length += taken.length;
      rest = rest.subarray(taken.length);
      if (length < partBytes) continue;
      yield Buffer.concat(waiting, length);
      waiting = [];
      length = 0;
    }
  }
  if (length > 0) yield Buffer.concat(waiting, length);
}

/** The next part; an empty one stands for the end. */
async function nextPart(parts: AsyncIterator<Buffer>): Promise<Buffer> {
  const { value, done } = await parts.next();
  return done ? Buffer.alloc(0) : value;
}

function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
