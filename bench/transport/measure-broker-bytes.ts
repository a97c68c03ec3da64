/** @file What goes through the NATS server for a step, beside the two halves that have to. */
import { type AddressInfo, connect, createServer } from "node:net";
import { atMost, type Figure, noted } from "../farm/figures.js";
import { BenchServer } from "./bench-server.js";
import { type Exchange, openWay } from "./exchange.js";

const SIZES = [
  { name: "16 kB", floats: 4_096 },
  { name: "3.69 MB", floats: 921_600 },
] as const;
const STEPS = 25;
const LIMIT = 1.05;

export async function measureBrokerBytes(): Promise<Figure[]> {
  const server = await BenchServer.start();
  const counter = await countBytes(server.address);
  const figures: Figure[] = [];
  try {
    for (const { name, floats } of SIZES) {
      const half = new Float32Array(floats);
      const [a, b] = await Promise.all(
        (["a", "b"] as const).map((side) => openWay("nats-bus", side, half, counter.address)),
      );
      const ends: Exchange[] = await Promise.all([a!.join(b!.address), b!.join(a!.address)]);
      const before = counter.bytes();
      for (let step = 0; step < STEPS; step++) {
        await Promise.all(ends.map((end) => end.exchange()));
      }
      // Each half goes in once and out once.
      const ratio = (counter.bytes() - before) / (STEPS * 4 * half.byteLength);
      figures.push(
        noted(`bytes on the wire of a step of ${name}`, ratio * 4 * half.byteLength, "B"),
      );
      figures.push(atMost(`bytes through the server / minimum, ${name}`, ratio, LIMIT, ""));
      for (const end of ends) await end.close();
    }
    return figures;
  } finally {
    counter.stop();
    await server.stop();
  }
}

interface Counter {
  readonly address: string;
  /** Of both directions, the protocol's own included. */
  bytes(): number;
  stop(): void;
}

/** A way to the server that counts. */
async function countBytes(target: string): Promise<Counter> {
  let bytes = 0;
  const [host, port] = target.split(":");
  const server = createServer((from) => {
    const to = connect({ host: host ?? "", port: Number(port) });
    const pairs = [
      [from, to],
      [to, from],
    ] as const;
    for (const [source, sink] of pairs) {
      source.setNoDelay(true);
      source.on("data", (piece: Buffer) => {
        bytes += piece.length;
        sink.write(piece);
      });
      source.on("close", () => sink.destroy());
      source.on("error", () => {});
    }
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { address, bytes: () => bytes, stop: () => void server.close() };
}
