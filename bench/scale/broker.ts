/**
 * @file Halves a second through one nats-server, by more and more pairs at once. Both ends of every
 * pair are in this process, so on few cores they are busy before the server is.
 */
import { type Figure, noted } from "../farm/figures.js";
import { BenchServer } from "../transport/bench-server.js";
import { type Exchange, openWay } from "../transport/exchange.js";

/** A half of SVD-XT. */
const FLOATS = 921_600;
const PAIRS = [1, 4, 16] as const;
const STEPS = 48;

export async function measureBroker(): Promise<Figure[]> {
  const server = await BenchServer.start();
  const figures: Figure[] = [];
  try {
    for (const pairs of PAIRS) {
      const half = new Float32Array(FLOATS);
      const opened = await Promise.all(
        Array.from({ length: pairs }, () => openPair(half, server.address)),
      );
      const startMs = performance.now();
      const stepsOfPair = STEPS / pairs;
      await Promise.all(
        opened.map(async (ends) => {
          for (let step = 0; step < stepsOfPair; step++) {
            await Promise.all(ends.map((end) => end.exchange()));
          }
        }),
      );
      const seconds = (performance.now() - startMs) / 1_000;
      const name = `${pairs} ${pairs === 1 ? "pair" : "pairs"} on one NATS server`;
      figures.push(noted(`${name}: steps of SVD-XT`, STEPS / seconds, "/s"));
      // Each half goes in and out.
      const bytes = STEPS * 4 * half.byteLength;
      figures.push(noted(`${name}: through the server`, bytes / 1e6 / seconds, "MB/s"));
      for (const end of opened.flat()) await end.close();
    }
    return figures;
  } finally {
    await server.stop();
  }
}

async function openPair(half: Float32Array, address: string): Promise<Exchange[]> {
  const [a, b] = await Promise.all(
    (["a", "b"] as const).map((side) => openWay("nats-bus", side, half, address)),
  );
  return Promise.all([a!.join(b!.address), b!.join(a!.address)]);
}
