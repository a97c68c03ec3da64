/** @file How long an exchange of halves takes between two processes, beside the barest programs. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { atMost, type Figure, noted } from "../farm/figures.js";
import { median } from "../statistics.js";
import { BenchServer } from "./bench-server.js";
import { type Exchange, openWay, type Way } from "./exchange.js";
import type { PeerOrder } from "./peer.js";

/** Floats of a half: 16 kB is a small clip, 3.69 MB is SVD-XT's. */
export const SIZES = [
  { name: "16 kB", floats: 4_096, rounds: 300 },
  { name: "3.69 MB", floats: 921_600, rounds: 30 },
] as const;
/** The ways take turns, so that what else the machine does meets all of them. */
const TURNS = 5;
const LIMIT_NATS = 1.2;
const LIMIT_SOCKET = 1.5;
const WAYS: readonly Way[] = ["bare-tcp", "socket-bus", "bare-nats", "nats-bus"];

export async function measureExchange(): Promise<Figure[]> {
  const server = await BenchServer.start();
  try {
    const figures: Figure[] = [];
    for (const { name, floats, rounds } of SIZES) {
      const times = await timesOf(floats, rounds, server.address);
      const ms = (way: Way) => median(times.get(way) ?? []);
      for (const way of WAYS) {
        figures.push(noted(`exchange of ${name}, ${way}, median`, ms(way), "ms"));
      }
      const isLarge = floats > 100_000;
      const nats = ms("nats-bus") / ms("bare-nats");
      const socket = ms("socket-bus") / ms("bare-tcp");
      const titles = [
        `${name} over NATS / two bare clients`,
        `${name} by socket / bare TCP`,
      ] as const;
      figures.push(isLarge ? atMost(titles[0], nats, LIMIT_NATS, "") : noted(titles[0], nats, ""));
      figures.push(
        isLarge ? atMost(titles[1], socket, LIMIT_SOCKET, "") : noted(titles[1], socket, ""),
      );
    }
    return figures;
  } finally {
    await server.stop();
  }
}

/** Milliseconds of each exchange, by way. */
export async function timesOf(
  floats: number,
  rounds: number,
  server: string,
  ways: readonly Way[] = WAYS,
): Promise<Map<Way, number[]>> {
  const pairs = new Map<Way, Pair>();
  const times = new Map<Way, number[]>();
  try {
    for (const way of ways) pairs.set(way, await Pair.open(way, floats, server));
    for (let turn = 0; turn <= TURNS; turn++) {
      for (const [way, pair] of pairs) {
        const measured = await pair.run(rounds);
        // The first turn warms up.
        if (turn > 0) times.set(way, [...(times.get(way) ?? []), ...measured]);
      }
    }
  } finally {
    for (const pair of pairs.values()) await pair.close();
  }
  return times;
}

/** Both ends of one way: this process and a child. */
class Pair {
  readonly #child: ChildProcess;
  readonly #exchange: Exchange;

  private constructor(child: ChildProcess, exchange: Exchange) {
    this.#child = child;
    this.#exchange = exchange;
  }

  static async open(way: Way, floats: number, server: string): Promise<Pair> {
    const child = fork(fileURLToPath(new URL("./peer.js", import.meta.url)));
    await once(child, "message");
    const opening = await openWay(way, "a", new Float32Array(floats), server);
    const address = await ask(child, { kind: "open", way, floats, server });
    const theirs = ask(child, { kind: "join", address: opening.address });
    const exchange = await opening.join(address);
    await theirs;
    return new Pair(child, exchange);
  }

  /** Milliseconds of each exchange. */
  async run(rounds: number): Promise<number[]> {
    await ask(this.#child, { kind: "run", rounds });
    const times: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const startMs = performance.now();
      await this.#exchange.exchange();
      times.push(performance.now() - startMs);
    }
    return times;
  }

  async close(): Promise<void> {
    await ask(this.#child, { kind: "close" });
    await this.#exchange.close();
    this.#child.disconnect();
    await once(this.#child, "exit");
  }
}

async function ask(child: ChildProcess, order: PeerOrder): Promise<string | null> {
  child.send(order);
  const [answer] = (await once(child, "message")) as [{ address: string | null }];
  return answer.address;
}
