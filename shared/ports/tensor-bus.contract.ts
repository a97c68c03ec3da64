/** @file What every TensorBus must do; each adapter's test runs all of it between two fresh buses. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Partner } from "../farm/work.js";
import type { BusChannel, FrameHeader, TensorBus } from "./tensor-bus.js";

/** Two nodes, each with its bus and the address of the other one. */
export interface BusBench {
  readonly a: { readonly bus: TensorBus; readonly partner: Partner };
  readonly b: { readonly bus: TensorBus; readonly partner: Partner };
  /** Lets a partner's death be seen, e.g. by moving a clock; called while a loss is awaited. */
  settle(): void;
}

/** Named checks; a check rejects when the bus breaks the contract. */
export const tensorBusContract: readonly (readonly [
  name: string,
  check: (bench: BusBench) => Promise<void>,
])[] = [
  ["carries frames both ways, unchanged", bothWays],
  ["carries the trace of a frame that has one, and adds none", traced],
  ["carries frames of 4 MB", large],
  ["carries halves of 16 bits, which have half the bytes", halfBytes],
  ["keeps frames for a side that joins later", lateJoin],
  ["keeps channels apart", apart],
  ["tells the other side, once, when one leaves", leave],
  ["delivers what was sent before it tells that the sender left", lastFrames],
  ["delivers nothing after close", afterClose],
];

/** A channel end that remembers what happened to it. */
export class ChannelEnd {
  readonly frames: { header: FrameHeader; payload: Uint8Array }[] = [];
  readonly lost: string[] = [];
  readonly channel: BusChannel;
  #wake: () => void = () => {};

  constructor(side: BusBench["a"], channelId: string) {
    this.channel = side.bus.join(channelId, side.partner, {
      onFrame: (header, payload) => {
        this.frames.push({ header, payload });
        this.#wake();
      },
      onLost: (reason) => {
        this.lost.push(reason);
        this.#wake();
      },
    });
  }

  /** Resolves once the condition holds; the test's time limit is its deadline. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** A frame of `length` float32 values. */
export function frameOf(step: number, length = 4): { header: FrameHeader; payload: Uint8Array } {
  const values = Float32Array.from({ length }, (_, i) => step + i / 7);
  const payload = new Uint8Array(values.buffer);
  const hash = "0a".repeat(32);
  return {
    payload,
    header: {
      jobId: "job",
      clipId: "job-0",
      epoch: 1,
      attempt: 1,
      step,
      half: "cond",
      dtype: "F32",
      shape: [length],
      sha256: createHash("sha256").update(payload).digest("hex"),
      planHash: hash,
      latentsDigest: hash,
    },
  };
}

function send(end: ChannelEnd, step: number, length?: number): void {
  const { header, payload } = frameOf(step, length);
  end.channel.send(header, payload);
}

function steps(end: ChannelEnd): number[] {
  return end.frames.map(({ header }) => header.step);
}

async function bothWays({ a, b }: BusBench): Promise<void> {
  const [left, right] = [new ChannelEnd(a, "pair"), new ChannelEnd(b, "pair")];
  for (const step of [0, 1, 2]) {
    send(left, step);
    send(right, step + 10);
  }
  await left.until(() => left.frames.length === 3);
  await right.until(() => right.frames.length === 3);
  assert.deepEqual(steps(left), [10, 11, 12]);
  assert.deepEqual(steps(right), [0, 1, 2]);
  const expected = frameOf(1);
  assert.deepEqual(right.frames[1]!.header, expected.header);
  assert.ok(Buffer.from(expected.payload).equals(right.frames[1]!.payload));
}

async function traced({ a, b }: BusBench): Promise<void> {
  const [left, right] = [new ChannelEnd(a, "pair"), new ChannelEnd(b, "pair")];
  const { header, payload } = frameOf(0);
  const traceparent = `00-${"4b".repeat(16)}-${"f0".repeat(8)}-01`;
  left.channel.send({ ...header, traceparent }, payload);
  left.channel.send(header, payload);
  await right.until(() => right.frames.length === 2);
  assert.deepEqual(
    right.frames.map((frame) => frame.header),
    [{ ...header, traceparent }, header],
  );
}

async function large({ a, b }: BusBench): Promise<void> {
  const [left, right] = [new ChannelEnd(a, "pair"), new ChannelEnd(b, "pair")];
  send(left, 0, 1_000_000);
  await right.until(() => right.frames.length === 1);
  assert.ok(Buffer.from(frameOf(0, 1_000_000).payload).equals(right.frames[0]!.payload));
}

async function halfBytes({ a, b }: BusBench): Promise<void> {
  const [left, right] = [new ChannelEnd(a, "pair"), new ChannelEnd(b, "pair")];
  const { header, payload } = frameOf(0, 50_000);
  left.channel.send({ ...header, dtype: "F16", shape: [100_000] }, payload);
  await right.until(() => right.frames.length === 1);
  assert.equal(right.frames[0]!.payload.length, 200_000);
}

async function lateJoin({ a, b }: BusBench): Promise<void> {
  const left = new ChannelEnd(a, "pair");
  send(left, 0);
  send(left, 1);
  const other = [new ChannelEnd(a, "other"), new ChannelEnd(b, "other")] as const;
  send(other[0], 5);
  await other[1].until(() => other[1].frames.length === 1);
  const right = new ChannelEnd(b, "pair");
  await right.until(() => right.frames.length === 2);
  assert.deepEqual(steps(right), [0, 1]);
}

async function apart({ a, b }: BusBench): Promise<void> {
  const ends = ["x", "y"].map((id) => [new ChannelEnd(a, id), new ChannelEnd(b, id)] as const);
  ends.forEach(([left], i) => {
    send(left, i);
  });
  for (const [, right] of ends) await right.until(() => right.frames.length === 1);
  assert.deepEqual(
    ends.map(([, right]) => steps(right)),
    [[0], [1]],
  );
}

async function leave({ a, b, settle }: BusBench): Promise<void> {
  const [left, right] = [new ChannelEnd(a, "pair"), new ChannelEnd(b, "pair")];
  send(left, 0);
  send(right, 0);
  await left.until(() => left.frames.length === 1);
  await right.until(() => right.frames.length === 1);
  left.channel.close();
  settle();
  await right.until(() => right.lost.length > 0);
  settle();
  right.channel.close();
  left.channel.close();
  assert.equal(right.lost.length, 1);
  assert.deepEqual(left.lost, []);
}

async function lastFrames({ a, b }: BusBench): Promise<void> {
  const [left, right] = [new ChannelEnd(a, "pair"), new ChannelEnd(b, "pair")];
  send(right, 0);
  await left.until(() => left.frames.length === 1);
  for (let step = 0; step < 20; step++) send(left, step, 100_000);
  left.channel.close();
  await right.until(() => right.lost.length > 0);
  assert.equal(right.frames.length, 20);
}

async function afterClose({ a, b }: BusBench): Promise<void> {
  const [left, right] = [new ChannelEnd(a, "pair"), new ChannelEnd(b, "pair")];
  const other = [new ChannelEnd(a, "other"), new ChannelEnd(b, "other")] as const;
  right.channel.close();
  send(left, 0);
  left.channel.close();
  send(left, 1);
  send(other[0], 2);
  await other[1].until(() => other[1].frames.length === 1);
  assert.deepEqual([right.frames, right.lost, left.lost], [[], [], []]);
}
