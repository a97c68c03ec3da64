import { PassThrough, Writable } from "node:stream";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Tensor } from "../../shared/tensor/tensor.js";
import { createFrameReader, type Tensors, writeFrame } from "./frame-stream.js";

interface Frame {
  readonly message: object;
  readonly tensors: Tensors;
}

function encoded(frames: readonly Frame[]): Buffer {
  const stream = new PassThrough({ highWaterMark: 1e9 });
  for (const { message, tensors } of frames) void writeFrame(stream, message, tensors);
  return (stream.read() as Buffer | null) ?? Buffer.alloc(0);
}

function readIn(pieces: readonly Uint8Array[]): Frame[] {
  const frames: Frame[] = [];
  const read = createFrameReader((message, tensors) => frames.push({ message, tensors }));
  for (const piece of pieces) read(piece);
  return frames;
}

const anyTensor: fc.Arbitrary<Tensor> = fc
  .array(fc.nat({ max: 4 }), { maxLength: 3 })
  .chain((shape) => {
    const length = shape.reduce((a, b) => a * b, 1);
    return fc
      .array(fc.float(), { minLength: length, maxLength: length })
      .map((values) => ({ shape, data: Float32Array.from(values) }));
  });
const anyFrame: fc.Arbitrary<Frame> = fc.record({
  message: fc.record({ kind: fc.string(), id: fc.nat() }),
  tensors: fc.dictionary(fc.stringMatching(/^[a-z_]{1,8}$/), anyTensor, {
    maxKeys: 3,
    noNullPrototype: true,
  }),
});

test("frames arrive as they were sent, however the stream cuts them", () => {
  const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 12 });
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 4 }), cuts, (frames, places) => {
      const bytes = encoded(frames);
      const at = [0, ...places.filter((p) => p < bytes.length).sort((a, b) => a - b), bytes.length];
      const pieces = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
      expect(readIn(pieces)).toEqual(frames);
    }),
    { seed: 7, numRuns: 300 },
  );
});

test("a frame byte by byte", () => {
  const tensors = { x: { shape: [2, 1], data: Float32Array.of(1, Number.NaN) } };
  const bytes = encoded([{ message: { kind: "run" }, tensors }]);
  expect(readIn([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual([
    { message: { kind: "run" }, tensors },
  ]);
});

test("a frame is sent when its last byte is taken", async () => {
  const release: (() => void)[] = [];
  const slow = new Writable({ write: (_piece, _encoding, taken) => void release.push(taken) });
  let isSent = false;
  const tensors = { x: { shape: [1], data: Float32Array.of(1) } };
  const sent = writeFrame(slow, {}, tensors).then(() => {
    isSent = true;
  });

  release.shift()!();
  await Promise.resolve();
  expect(isSent).toBe(false);
  release.shift()!();
  await sent;
  expect(isSent).toBe(true);
});

test("bytes that are no frame are a bug of the other side", () => {
  expect(() => readIn([Buffer.from([255, 255, 255, 255])])).toThrow("bug");
});
