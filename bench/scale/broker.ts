/**
 * @file Halves a second through one nats-server. Both ends of the pair are in this process, so on few
 * cores they are busy before the server is: what a server can do is more.
 */
import { type Figure, noted } from "../farm/figures.js";
import { BenchServer } from "../transport/bench-server.js";
import { openWay } from "../transport/exchange.js";

/** A half of SVD-XT. */
const FLOATS = 921_600;
const STEPS = 40;

export async function measureBroker(): Promise<Figure[]> {
  const server = await BenchServer.start();
  try {
    const half = new Float32Array(FLOATS);
    const [a, b] = await Promise.all(
      (["a", "b"] as const).map((side) => openWay("nats-bus", side, half, server.address)),
    );
    const ends = await Promise.all([a!.join(b!.address), b!.join(a!.address)]);
    const startMs = performance.now();
    for (let step = 0; step < STEPS; step++) {
      await Promise.all(ends.map((end) => end.exchange()));
    }
    const seconds = (performance.now() - startMs) / 1_000;
    await Promise.all(ends.map((end) => end.close()));
    // Each half goes in and out.
    const bytes = STEPS * 4 * half.byteLength;
    return [
      noted("one NATS server: paired steps of SVD-XT", STEPS / seconds, "/s"),
      noted("the same, in and out of the server", bytes / 1e6 / seconds, "MB/s"),
    ];
  } finally {
    await server.stop();
  }
}
