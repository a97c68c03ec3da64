/**
 * @file Bytes on a bus connection: a greeting of who dials, then frames of who was dialled.
 *
 * greeting: "RFB2" · u32 length of the JSON · JSON {token, channelId}
 * frame:    u32 length of the header · u32 length of the payload · 16 bytes checksum · header JSON
 *           · payload; the checksum begins the sha256 of both lengths and the header, which in turn
 *           names the payload's
 *
 * All integers are big-endian. Every length is checked before anything is allocated for it. Readers
 * take bytes in any pieces and never throw: what is wrong comes out as an event.
 */
import { createHash, type Hash, timingSafeEqual } from "node:crypto";
import * as z from "zod";
import type { FrameHeader } from "../../ports/tensor-bus.js";
import { SAFETENSORS_DTYPE_BYTES } from "../../tensor/safetensors-entry.js";
import { elementCount } from "../../tensor/tensor.js";

const MAGIC = Buffer.from("RFB2");
const GREETING_HEAD_BYTES = MAGIC.length + 4;
const GREETING_BYTES_MAX = 1_024;
const LENGTHS_BYTES = 8;
const CHECKSUM_BYTES = 16;
const FRAME_HEAD_BYTES = LENGTHS_BYTES + CHECKSUM_BYTES;
const HEADER_BYTES_MAX = 4_096;
const TRACEPARENT_LENGTH_MAX = 64;
/** A half of SVD-XT has 3.69 MB; this leaves room for clips 16 times as large. */
export const PAYLOAD_BYTES_MAX = 64 * 1024 * 1024;

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const counter = z.int().nonnegative();
const greetingSchema = z.strictObject({ token: z.string(), channelId: z.string().min(1) });
const headerSchema = z.strictObject({
  jobId: z.string(),
  clipId: z.string(),
  epoch: counter,
  attempt: counter,
  step: counter,
  half: z.enum(["uncond", "cond"]),
  dtype: z.enum(["F32", "F16"]),
  shape: z.array(z.int().positive()).max(8),
  sha256: hash,
  planHash: hash,
  latentsDigest: hash,
  traceparent: z.string().max(TRACEPARENT_LENGTH_MAX).exactOptional(),
}) satisfies z.ZodType<FrameHeader>;

export interface Greeting {
  readonly token: string;
  readonly channelId: string;
}

/** Why a frame was dropped; the connection goes on. */
export type FrameFault = "header" | "length" | "checksum";

export type FrameEvent =
  | { readonly kind: "frame"; readonly header: FrameHeader; readonly payload: Uint8Array }
  | { readonly kind: "dropped"; readonly reason: FrameFault }
  /** Wrong lengths or header: where the next frame begins is unknown, the connection must end. */
  | { readonly kind: "lost-framing" };

export function encodeGreeting(greeting: Greeting): Uint8Array {
  const json = Buffer.from(JSON.stringify(greeting));
  const head = Buffer.alloc(GREETING_HEAD_BYTES);
  MAGIC.copy(head);
  head.writeUInt32BE(json.length, MAGIC.length);
  return Buffer.concat([head, json]);
}

/** The head of a frame and its header; the payload follows as it is, without a copy. */
export function encodeFrameHead(header: FrameHeader, payloadBytes: number): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUInt32BE(json.length, 0);
  head.writeUInt32BE(payloadBytes, 4);
  headerChecksum(head.subarray(0, LENGTHS_BYTES), json).copy(head, LENGTHS_BYTES);
  return Buffer.concat([head, json]);
}

/** How long the payload of a frame is that has this header. */
export function payloadBytesOf({ dtype, shape }: Pick<FrameHeader, "dtype" | "shape">): number {
  return elementCount(shape) * SAFETENSORS_DTYPE_BYTES[dtype];
}

/** A header in JSON; null when it is none. */
export function decodeFrameHeader(json: Buffer): FrameHeader | null {
  return parsed(headerSchema, json);
}

/** Equal texts, in a time that tells nothing of how far they are equal. */
export function tokensMatch(shown: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(shown), digest(expected));
}

/** Fills buffers of known length from pieces of any length. */
class Filler {
  #buffer: Uint8Array = new Uint8Array(0);
  #filled = 0;

  expect(length: number): void {
    // Its own memory from offset 0, so that a payload can be viewed as float32. Nobody sees it before
    // every byte of it is written.
    this.#buffer = Buffer.allocUnsafeSlow(length);
    this.#filled = 0;
  }

  /** What is still to be filled; who writes into it says so with `skip`. */
  get room(): Uint8Array {
    return this.#buffer.subarray(this.#filled);
  }

  skip(bytes: number): void {
    this.#filled += bytes;
  }

  /** Takes what it needs from the piece; returns the bytes taken. */
  take(piece: Uint8Array): number {
    const taken = Math.min(this.#buffer.length - this.#filled, piece.length);
    this.#buffer.set(piece.subarray(0, taken), this.#filled);
    this.#filled += taken;
    return taken;
  }

  /** The whole buffer, once it is full. */
  get full(): Buffer | null {
    if (this.#filled < this.#buffer.length) return null;
    return Buffer.from(this.#buffer.buffer);
  }

  get isEmpty(): boolean {
    return this.#filled === 0;
  }
}

/** Reads the greeting of one connection. */
export class GreetingReader {
  readonly #filler = new Filler();
  #inHead = true;

  constructor() {
    this.#filler.expect(GREETING_HEAD_BYTES);
  }

  /** @returns null while more is needed; "bad" for anything but a greeting, and for more than one */
  push(piece: Uint8Array): null | "bad" | Greeting {
    let at = 0;
    while (true) {
      at += this.#filler.take(piece.subarray(at));
      const full = this.#filler.full;
      if (full === null) return null;
      if (!this.#inHead) {
        const greeting = at === piece.length ? parsed(greetingSchema, full) : null;
        return greeting ?? "bad";
      }
      const length = full.readUInt32BE(MAGIC.length);
      if (!full.subarray(0, MAGIC.length).equals(MAGIC) || length > GREETING_BYTES_MAX)
        return "bad";
      this.#inHead = false;
      this.#filler.expect(length);
    }
  }
}

/** Bytes of the room for heads, headers and small frames. */
const SCRATCH_BYTES = 64 * 1024;

/** Where a reader stands within a frame. */
type Place =
  | { readonly kind: "head" }
  | { readonly kind: "header"; readonly head: Buffer; readonly payloadBytes: number }
  | { readonly kind: "payload"; readonly header: FrameHeader; readonly hash: Hash }
  /** Passing over the payload of a frame that was dropped. */
  | { readonly kind: "skip"; readonly bytesLeft: number }
  | { readonly kind: "lost" };

/**
 * Reads the frames of one connection.
 *
 * Whoever can choose where bytes are put asks `room`, writes there and says so with `filled`: what is
 * left of a payload then needs no copy. Pieces that lie elsewhere go through `push`.
 */
export class FrameReader {
  readonly #filler = new Filler();
  /** Made when it is asked for. */
  #scratch: Uint8Array | null = null;
  #place: Place = { kind: "head" };

  constructor() {
    this.#filler.expect(FRAME_HEAD_BYTES);
  }

  /** Whether the bytes so far end between two frames. */
  get isBetweenFrames(): boolean {
    return this.#place.kind === "head" && this.#filler.isEmpty;
  }

  /** Where the next bytes are to be put; at least one. */
  get room(): Uint8Array {
    if (this.#place.kind === "payload") return this.#filler.room;
    this.#scratch ??= Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    return this.#scratch;
  }

  /** @returns what the first bytes of the room completed, in order */
  filled(bytes: number): FrameEvent[] {
    if (this.#place.kind !== "payload") return this.push(this.room.subarray(0, bytes));
    this.#place.hash.update(this.#filler.room.subarray(0, bytes));
    this.#filler.skip(bytes);
    const event = this.#advance();
    return event ? [event] : [];
  }

  /** @returns what the piece completed, in order */
  push(piece: Uint8Array): FrameEvent[] {
    const events: FrameEvent[] = [];
    for (let at = 0; at < piece.length && this.#place.kind !== "lost"; ) {
      at += this.#take(piece.subarray(at));
      const event = this.#advance();
      if (event) events.push(event);
    }
    return events;
  }

  #take(piece: Uint8Array): number {
    if (this.#place.kind === "skip") return this.#skip(this.#place.bytesLeft, piece.length);
    const taken = this.#filler.take(piece);
    // While they are in the processor's cache: the checksum is there when the last byte is.
    if (this.#place.kind === "payload") this.#place.hash.update(piece.subarray(0, taken));
    return taken;
  }

  #skip(bytesLeft: number, available: number): number {
    const skipped = Math.min(bytesLeft, available);
    this.#place = { kind: "skip", bytesLeft: bytesLeft - skipped };
    if (bytesLeft === skipped) this.#toHead();
    return skipped;
  }

  /** Steps on while the bytes at hand complete a part. */
  #advance(): FrameEvent | null {
    const full = this.#filler.full;
    if (full === null) return null;
    switch (this.#place.kind) {
      case "head":
        return this.#takeHead(full);
      case "header":
        return this.#takeHeader(this.#place.head, full, this.#place.payloadBytes);
      case "payload":
        return this.#takePayload(this.#place.header, this.#place.hash, full);
      default:
        return null;
    }
  }

  #takeHead(head: Buffer): FrameEvent | null {
    const headerBytes = head.readUInt32BE(0);
    const payloadBytes = head.readUInt32BE(4);
    const legal = headerBytes > 0 && headerBytes <= HEADER_BYTES_MAX;
    if (!legal || payloadBytes === 0 || payloadBytes > PAYLOAD_BYTES_MAX) return this.#lose();
    this.#place = { kind: "header", head, payloadBytes };
    this.#filler.expect(headerBytes);
    return null;
  }

  #lose(): FrameEvent {
    this.#place = { kind: "lost" };
    return { kind: "lost-framing" };
  }

  #takeHeader(head: Buffer, json: Buffer, payloadBytes: number): FrameEvent | null {
    const checksum = headerChecksum(head.subarray(0, LENGTHS_BYTES), json);
    if (!checksum.equals(head.subarray(LENGTHS_BYTES))) return this.#lose();
    const header = decodeFrameHeader(json);
    if (header && payloadBytesOf(header) === payloadBytes) {
      this.#place = { kind: "payload", header, hash: createHash("sha256") };
      this.#filler.expect(payloadBytes);
      return null;
    }
    this.#place = { kind: "skip", bytesLeft: payloadBytes };
    this.#filler.expect(1);
    return { kind: "dropped", reason: header ? "length" : "header" };
  }

  #takePayload(header: FrameHeader, hash: Hash, payload: Buffer): FrameEvent {
    this.#toHead();
    if (hash.digest("hex") !== header.sha256) return { kind: "dropped", reason: "checksum" };
    return { kind: "frame", header, payload };
  }

  #toHead(): void {
    this.#place = { kind: "head" };
    this.#filler.expect(FRAME_HEAD_BYTES);
  }
}

function headerChecksum(lengths: Uint8Array, json: Uint8Array): Buffer {
  const digest = createHash("sha256").update(lengths).update(json).digest();
  return digest.subarray(0, CHECKSUM_BYTES);
}

function parsed<T>(schema: z.ZodType<T>, json: Buffer): T | null {
  try {
    return schema.safeParse(JSON.parse(json.toString("utf8"))).data ?? null;
  } catch {
    return null;
  }
}
