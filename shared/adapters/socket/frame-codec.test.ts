import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { FrameHeader } from "../../ports/tensor-bus.js";
import {
  encodeFrameHead,
  encodeGreeting,
  type FrameEvent,
  FrameReader,
  GreetingReader,
  PAYLOAD_BYTES_MAX,
  tokensMatch,
} from "./frame-codec.js";

const HASH = "0a".repeat(32);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

function headerOf(payload: Uint8Array, change: Partial<FrameHeader> = {}): FrameHeader {
  return {
    jobId: "job",
    clipId: "job-0",
    epoch: 1,
    attempt: 1,
    step: 0,
    half: "cond",
    dtype: "F32",
    shape: [payload.length / 4],
    sha256: sha256(payload),
    planHash: HASH,
    latentsDigest: HASH,
    ...change,
  };
}

function frame(payload: Uint8Array, change: Partial<FrameHeader> = {}): Buffer {
  const head = encodeFrameHead(headerOf(payload, change), payload.length);
  return Buffer.concat([head, payload]);
}

function read(bytes: Uint8Array, pieceLength = bytes.length): FrameEvent[] {
  const reader = new FrameReader();
  const events: FrameEvent[] = [];
  for (let at = 0; at < bytes.length; at += pieceLength) {
    events.push(...reader.push(bytes.subarray(at, at + pieceLength)));
  }
  return events;
}

const one = Buffer.from(Float32Array.of(1, 2, 3).buffer);
const two = Buffer.from(Float32Array.of(4).buffer);

test.each([1, 2, 3, 7, 64, 1_000])("frames come whole out of pieces of %i bytes", (length) => {
  const events = read(Buffer.concat([frame(one), frame(two, { step: 1 })]), length);
  expect(events).toEqual([
    { kind: "frame", header: headerOf(one), payload: one },
    { kind: "frame", header: headerOf(two, { step: 1 }), payload: two },
  ]);
});

test.each([1, 7, 1_000_000])("the same frames come of a room filled %i bytes at a time", (n) => {
  const wrong = frame(two, { sha256: HASH });
  const large = Buffer.alloc(4_000, 3);
  const bytes = Buffer.concat([frame(one), frame(large), wrong, frame(two)]);
  const reader = new FrameReader();
  const events: FrameEvent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { room } = reader;
    const piece = bytes.subarray(at, at + Math.min(n, room.length));
    room.set(piece);
    at += piece.length;
    events.push(...reader.filled(piece.length));
  }
  expect(events).toEqual(read(bytes));
  expect(events.map(({ kind }) => kind)).toEqual(["frame", "frame", "dropped", "frame"]);
});

test("a payload can be viewed as float32", () => {
  const [event] = read(Buffer.concat([frame(one)]), 5);
  if (event?.kind !== "frame") throw new Error("no frame");
  const { buffer, byteOffset, byteLength } = event.payload;
  expect([...new Float32Array(buffer, byteOffset, byteLength / 4)]).toEqual([1, 2, 3]);
});

const dropped: [name: string, bytes: Buffer, reason: string][] = [
  ["another checksum", frame(one, { sha256: HASH }), "checksum"],
  ["a shape of another length", frame(one, { shape: [4] }), "length"],
  ["a shape of many axes", frame(one, { shape: Array(9).fill(1) as number[] }), "header"],
  ["a negative extent", frame(one, { shape: [-3] }), "header"],
  ["a negative step", frame(one, { step: -1 }), "header"],
  ["half a step", frame(one, { step: 0.5 }), "header"],
  ["an unknown half", frame(one, { half: "both" as "cond" }), "header"],
  ["another dtype", frame(one, { dtype: "BF16" as "F32" }), "header"],
  ["more bytes than its dtype takes", frame(one, { dtype: "F16" }), "length"],
  ["a field too much", frame(one, { extra: 1 } as Partial<FrameHeader>), "header"],
  ["no hash", frame(one, { planHash: "" }), "header"],
];

test.each(dropped)("a frame with %s is dropped and the next one read", (_name, bytes, reason) => {
  for (const length of [1, 3, 10_000]) {
    const events = read(Buffer.concat([bytes, frame(two)]), length);
    expect(events.map((e) => (e.kind === "dropped" ? e.reason : e.kind))).toEqual([
      reason,
      "frame",
    ]);
  }
});

function head(headerBytes: number, payloadBytes: number): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32BE(headerBytes, 0);
  bytes.writeUInt32BE(payloadBytes, 4);
  return bytes;
}

const beyond: [name: string, head: Buffer][] = [
  ["no header", head(0, 4)],
  ["a header of 5 kB", head(5_000, 4)],
  ["no payload", head(300, 0)],
  ["a payload beyond the limit", head(300, PAYLOAD_BYTES_MAX + 4)],
  ["a payload of 4 GiB", head(300, 0xffffffff)],
  ["a header that is not the checksum's", Buffer.concat([head(2, 4), Buffer.from("{}")])],
];

test.each(beyond)("%s ends the reading, once", (_name, bytes) => {
  expect(read(Buffer.concat([bytes, frame(two)]), 5)).toEqual([{ kind: "lost-framing" }]);
});

test("every flipped bit is seen: only frames that were sent come out, and one is missing", () => {
  const sent = [headerOf(one), headerOf(two)];
  const bytes = Buffer.concat([frame(one), frame(two)]);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
      const flipped = Buffer.from(bytes);
      flipped[at] = flipped[at]! ^ (1 << bit);
      const frames = read(flipped).filter((event) => event.kind === "frame");
      expect(frames.length).toBeLessThan(2);
      for (const { header, payload } of frames) {
        expect(sent).toContainEqual(header);
        expect(sha256(payload)).toBe(header.sha256);
      }
    }),
    { seed: 1, numRuns: 2_000 },
  );
});

test("random bytes never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      read(bytes, 7);
      new GreetingReader().push(bytes);
    }),
    { seed: 1, numRuns: 2_000 },
  );
});

test("a reader knows whether it stands between two frames", () => {
  const reader = new FrameReader();
  const bytes = frame(one);
  expect(reader.isBetweenFrames).toBe(true);
  reader.push(bytes.subarray(0, bytes.length - 1));
  expect(reader.isBetweenFrames).toBe(false);
  reader.push(bytes.subarray(bytes.length - 1));
  expect(reader.isBetweenFrames).toBe(true);
});

test.each([1, 3, 1_000])("a greeting comes out of pieces of %i bytes", (n) => {
  const greeting = { token: "secret", channelId: "task-1" };
  const bytes = encodeGreeting(greeting);
  const reader = new GreetingReader();
  const answers = Array.from({ length: Math.ceil(bytes.length / n) }, (_, i) =>
    reader.push(bytes.subarray(i * n, (i + 1) * n)),
  );
  expect(answers.pop()).toEqual(greeting);
  expect(answers.every((answer) => answer === null)).toBe(true);
});

const badGreetings: [name: string, bytes: Buffer][] = [
  ["another protocol", Buffer.from("GET / HTTP/1.1\r\n")],
  ["a length beyond the limit", Buffer.concat([Buffer.from("RFB2"), Buffer.from([0, 0, 5, 0])])],
  ["no JSON", Buffer.concat([Buffer.from("RFB2"), Buffer.from([0, 0, 0, 2]), Buffer.from("}{")])],
  ["bytes behind it", Buffer.concat([encodeGreeting({ token: "t", channelId: "c" }), one])],
  ["no token", Buffer.from(encodeGreeting({ channelId: "c" } as never))],
  ["an empty channel", Buffer.from(encodeGreeting({ token: "t", channelId: "" }))],
];

test.each(badGreetings)("a greeting with %s is bad", (_name, bytes) => {
  expect(new GreetingReader().push(bytes)).toBe("bad");
});

test("tokens match only when they are equal", () => {
  expect(tokensMatch("secret", "secret")).toBe(true);
  for (const other of ["", "secre", "secret ", "Secret"]) {
    expect(tokensMatch(other, "secret")).toBe(false);
  }
});
