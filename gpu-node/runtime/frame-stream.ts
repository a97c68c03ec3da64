/**
 * @file Messages with tensors over a byte stream between two processes of one machine.
 *
 * A frame is the length of its head (uint32, little-endian), the head as JSON, and the tensors'
 * float32 values one after the other. Node's own channel to a forked process serializes whatever it
 * carries: ten times as slow for the tensors of a step.
 */
import type { Writable } from "node:stream";
import { assert } from "../../shared/core/assert.js";
import { elementCount, type Tensor } from "../../shared/tensor/tensor.js";

export type Tensors = Readonly<Record<string, Tensor>>;

interface Head {
  readonly message: object;
  /** The tensors in the order of their bytes. */
  readonly shapes: readonly (readonly [name: string, shape: readonly number[]])[];
}

const LENGTH_BYTES = 4;
/** A head holds names and numbers only. */
const HEAD_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Sends one frame.
 *
 * @param message a value that JSON can carry
 * @param tensors must not change before the promise resolves
 * @returns resolves when everything was handed over, or never can be
 */
export function writeFrame(stream: Writable, message: object, tensors: Tensors): Promise<void> {
  const values = Object.values(tensors).map((tensor) => bytesOf(tensor.data));
  const shapes = Object.entries(tensors).map(([name, { shape }]) => [name, shape] as const);
  const text = Buffer.from(JSON.stringify({ message, shapes } satisfies Head));
  const head = Buffer.alloc(LENGTH_BYTES + text.length);
  head.writeUInt32LE(text.length);
  head.set(text, LENGTH_BYTES);

  const pieces = [head, ...values];
  return new Promise((resolve) => {
    stream.cork();
    pieces.forEach((piece, i) => {
      stream.write(piece, i === pieces.length - 1 ? () => resolve() : undefined);
    });
    stream.uncork();
  });
}

/**
 * Puts frames together again, however the stream cuts them; values go straight into their tensors.
 *
 * @param onFrame called for each whole frame
 * @returns takes the stream's next bytes
 */
export function createFrameReader(
  onFrame: (message: object, tensors: Record<string, Tensor>) => void,
): (bytes: Uint8Array) => void {
  let target = new Uint8Array(LENGTH_BYTES);
  let filled = 0;
  let onFilled = readLength;

  function expectBytes(into: Uint8Array<ArrayBuffer>, then: () => void): void {
    target = into;
    filled = 0;
    onFilled = then;
    if (into.length === 0) then();
  }
  function readLength(): void {
    const length = new DataView(target.buffer).getUint32(0, true);
    assert(length > 0 && length <= HEAD_BYTES_MAX, `a head of 1..${HEAD_BYTES_MAX} bytes`);
    expectBytes(new Uint8Array(length), readHead);
  }
  function readHead(): void {
    const { message, shapes } = JSON.parse(new TextDecoder().decode(target)) as Head;
    readTensors(message, shapes, {});
  }
  function readTensors(
    message: object,
    shapes: Head["shapes"],
    read: Record<string, Tensor>,
  ): void {
    const [next, ...rest] = shapes;
    if (next === undefined) {
      expectBytes(new Uint8Array(LENGTH_BYTES), readLength);
      onFrame(message, read);
      return;
    }
    const [name, shape] = next;
    const data = new Float32Array(elementCount(shape));
    expectBytes(bytesOf(data), () =>
      readTensors(message, rest, { ...read, [name]: { shape, data } }),
    );
  }

  return (bytes) => {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + target.length - filled);
      target.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled === target.length) onFilled();
    }
  };
}

function bytesOf<B extends ArrayBufferLike>(data: Float32Array<B>): Uint8Array<B> {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
