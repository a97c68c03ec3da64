import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Partner } from "../../farm/work.js";
import { ChannelEnd, frameOf, tensorBusContract } from "../../ports/tensor-bus.contract.js";
import { ManualClock } from "../clock/manual-clock.js";
import { encodeFrameHead, encodeGreeting } from "./frame-codec.js";
import { SocketTensorBus } from "./socket-tensor-bus.js";

const TOKENS = { a: "token of a", b: "token of b" };
let clock: ManualClock;
let a: SocketTensorBus;
let b: SocketTensorBus;
const sockets: Socket[] = [];
/** What b did not take. */
let refusedByB: string[];

beforeEach(async () => {
  clock = new ManualClock();
  a = await SocketTensorBus.listen({ token: TOKENS.a, clock });
  refusedByB = [];
  b = await SocketTensorBus.listen({
    ...{ token: TOKENS.b, clock },
    onRefused: (what) => refusedByB.push(what),
  });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all([a.close(), b.close()]);
});

const partnerOf = (bus: SocketTensorBus, nodeId: string): Partner => ({
  nodeId,
  busAddress: bus.address,
  busToken: bus.token,
});
const sideA = () => ({ bus: a, partner: partnerOf(b, "b") });
const sideB = () => ({ bus: b, partner: partnerOf(a, "a") });

/** A connection to b's bus that says whatever the test wants. */
function dial(greeting: Uint8Array | null): Socket {
  const port = Number(b.address.split(":").at(-1));
  const socket = connect({ port, host: "127.0.0.1" });
  sockets.push(socket);
  socket.on("error", () => {}).resume();
  if (greeting) socket.write(greeting);
  return socket;
}
/** A partner of b's that says whatever the test wants to b, once b has dialled it. */
async function speaker(bytes: Uint8Array, then: "stays" | "leaves" = "stays"): Promise<Partner> {
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {}).resume();
    socket.write(bytes);
    if (then === "leaves") socket.end();
    server.close();
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return { nodeId: "a", busAddress: `127.0.0.1:${port}`, busToken: "t" };
}
/** b's end of a channel with that partner. */
const hearing = (partner: Partner) => new ChannelEnd({ bus: b, partner }, "pair");
const greetB = (channelId: string) => encodeGreeting({ token: TOKENS.b, channelId });
const wireFrame = (step: number) => {
  const { header, payload } = frameOf(step);
  return Buffer.concat([encodeFrameHead(header, payload.length), payload]);
};

test.each(tensorBusContract)("SocketTensorBus %s", async (_name, check) => {
  await check({ a: sideA(), b: sideB(), settle: () => clock.advance(2_000) });
});

test("listens on loopback unless told otherwise", () => {
  expect(a.address).toMatch(/^127\.0\.0\.1:\d+$/);
});

const refusals: [name: string, greeting: Uint8Array, count: string][] = [
  [
    "a wrong token",
    encodeGreeting({ token: "guess", channelId: "pair" }),
    "connections_refused_token",
  ],
  [
    "bytes after the greeting",
    Buffer.concat([greetB("pair"), wireFrame(0)]),
    "connections_refused_greeting",
  ],
  ["another protocol", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "connections_refused_greeting"],
];

test.each(refusals)("%s closes the connection and is counted", async (_name, greeting, count) => {
  const right = new ChannelEnd(sideB(), "pair");
  await once(dial(greeting), "close");
  expect([...b.counts]).toEqual([[count, 1]]);
  expect(refusedByB).toEqual([count]);
  expect(right.frames).toEqual([]);
});

test("a second connection for a channel is refused, joined or held", async () => {
  const [left, right] = [new ChannelEnd(sideA(), "joined"), new ChannelEnd(sideB(), "joined")];
  const { header, payload } = frameOf(0);
  right.channel.send(header, payload);
  await left.until(() => left.frames.length === 1);
  await once(dial(greetB("joined")), "close");
  const held = dial(greetB("held"));
  await once(held, "connect");
  await once(dial(greetB("held")), "close");
  expect(b.counts.get("connections_refused_duplicate")).toBe(2);
  expect(right.lost).toEqual([]);
});

test("a greeting that does not come in time closes the connection", async () => {
  const socket = dial(greetB("pair").subarray(0, 6));
  const served = dial(Buffer.from("x".repeat(100)));
  await once(served, "close"); // b has by now accepted the first one too
  clock.advance(10_000);
  await once(socket, "close");
  expect(b.counts.get("connections_refused_greeting")).toBe(2);
});

test("a channel that nobody joins is held for ten seconds", async () => {
  const socket = dial(greetB("pair"));
  await once(dial(greetB("pair")), "close"); // refused as the second one, so the first is held
  clock.advance(9_999);
  expect(b.counts.has("connections_refused_unjoined")).toBe(false);
  clock.advance(1);
  await once(socket, "close");
  expect(b.counts.get("connections_refused_unjoined")).toBe(1);
});

test("no more than sixteen connections are held", async () => {
  for (let i = 0; i < 16; i++) dial(greetB(`channel ${i}`));
  for (let i = 0; i < 16; i++) await once(dial(greetB(`channel ${i}`)), "close");
  await once(dial(greetB("one too many")), "close");
  expect(b.counts.get("connections_refused_excess")).toBe(1);
});

test("a damaged payload is dropped and counted, the next frame arrives", async () => {
  const damaged = wireFrame(0);
  damaged[damaged.length - 1]! ^= 1;
  const right = hearing(await speaker(Buffer.concat([damaged, wireFrame(1)])));
  await right.until(() => right.frames.length === 1);
  expect(right.frames[0]?.header.step).toBe(1);
  expect(b.counts.get("frames_dropped_checksum")).toBe(1);
  expect(refusedByB).toEqual(["frames_dropped_checksum"]);
  expect(right.lost).toEqual([]);
});

test("frames that cannot be told apart end the channel", async () => {
  const damaged = wireFrame(1);
  damaged[0]! ^= 0x80; // a header of 2 GiB
  const right = hearing(await speaker(Buffer.concat([wireFrame(0), damaged])));
  await right.until(() => right.lost.length > 0);
  expect(right.frames).toHaveLength(1);
  expect(right.lost).toEqual(["node a is lost: its frames cannot be told apart"]);
  expect(b.counts.get("connections_lost_framing")).toBe(1);
});

test("a frame that was cut by the end of its connection is counted, not delivered", async () => {
  const right = hearing(await speaker(wireFrame(0).subarray(0, -1), "leaves"));
  await right.until(() => right.lost.length > 0);
  expect(right.frames).toEqual([]);
  expect(b.counts.get("frames_dropped_cut")).toBe(1);
});

test("frames come in the order of the connection, also ones of earlier steps: fencing is the user's", async () => {
  const right = hearing(await speaker(Buffer.concat([wireFrame(3), wireFrame(1), wireFrame(1)])));
  await right.until(() => right.frames.length === 3);
  expect(right.frames.map(({ header }) => header.step)).toEqual([3, 1, 1]);
});

test("a partner that does not listen is lost at once", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  const partner = { nodeId: "gone", busAddress: `127.0.0.1:${port}`, busToken: "t" };
  const end = new ChannelEnd({ bus: a, partner }, "pair");
  await end.until(() => end.lost.length > 0);
  expect(end.lost[0]).toMatch(/^node gone is lost: .*ECONNREFUSED/);
});

test("a partner that refuses our token is lost at once", async () => {
  const partner = { ...partnerOf(b, "b"), busToken: "stale" };
  const end = new ChannelEnd({ bus: a, partner }, "pair");
  await end.until(() => end.lost.length > 0);
  expect(end.lost).toEqual(["node b is lost: it closed the connection"]);
  expect(b.counts.get("connections_refused_token")).toBe(1);
});

test("a half sent before the partner dialled is still given to it by who left meanwhile", async () => {
  const right = new ChannelEnd(sideB(), "pair");
  const { header, payload } = frameOf(7);
  right.channel.send(header, payload);
  right.channel.close();
  const left = new ChannelEnd(sideA(), "pair");
  await left.until(() => left.lost.length > 0);
  expect(left.frames.map((frame) => frame.header.step)).toEqual([7]);
});

test("an address that is taken is an error with the address", async () => {
  const port = Number(a.address.split(":").at(-1));
  await expect(SocketTensorBus.listen({ token: "t", clock, port })).rejects.toThrow(
    new RegExp(`cannot listen on 127.0.0.1:${port} .EADDRINUSE`),
  );
});
