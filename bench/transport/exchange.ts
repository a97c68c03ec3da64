/**
 * @file One end of an exchange of halves: both sides send at once, and an exchange is over when both
 * have the other's half. Our buses, and the barest program that could do the same.
 */
import { createHash } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { systemClock } from "../../shared/adapters/clock/system-clock.js";
import { NatsClient } from "../../shared/adapters/nats/nats-client.js";
import { busSubject } from "../../shared/adapters/nats/nats-names.js";
import { NatsTensorBus } from "../../shared/adapters/nats/nats-tensor-bus.js";
import { SocketTensorBus } from "../../shared/adapters/socket/socket-tensor-bus.js";
import { silentLog } from "../../shared/ports/log.js";
import type { FrameHeader, TensorBus } from "../../shared/ports/tensor-bus.js";

export type Way = "bare-tcp" | "socket-bus" | "bare-nats" | "nats-bus";
export type Side = "a" | "b";

/** Opened; `exchange` sends our half and resolves when the other one is here. */
export interface Exchange {
  exchange(): Promise<void>;
  close(): Promise<void>;
}

/** What the sides have to know of each other; each opens with the other's address. */
export interface Opening {
  /** Null where there is nothing to be told. */
  readonly address: string | null;
  join(partnerAddress: string | null): Promise<Exchange>;
}

const TOKEN = "0123456789abcdef";
const PREFIX = "bench";

/** @param payload the half that is sent again and again */
export function openWay(
  way: Way,
  side: Side,
  payload: Float32Array,
  server: string,
): Promise<Opening> {
  switch (way) {
    case "bare-tcp":
      return openTcp(side, bytesOf(payload));
    case "bare-nats":
      return openNats(side, bytesOf(payload), server);
    case "socket-bus":
      return openSocketBus(side, payload);
    case "nats-bus":
      return openNatsBus(side, payload, server);
  }
}

/** Resolves one waiter for each half that came, also when it came first. */
class Arrivals {
  #came = 0;
  #wanted = 0;
  #wake: () => void = () => {};

  arrive(): void {
    this.#came += 1;
    this.#wake();
  }

  async next(): Promise<void> {
    this.#wanted += 1;
    while (this.#came < this.#wanted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

async function openTcp(side: Side, payload: Uint8Array): Promise<Opening> {
  const arrivals = new Arrivals();
  const receive = (socket: Socket): void => {
    // What any receiver needs: one piece of memory that holds the half.
    let half = new Uint8Array(payload.length);
    let filled = 0;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (piece: Buffer) => {
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + half.length - filled);
        half.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < half.length) continue;
        half = new Uint8Array(payload.length);
        filled = 0;
        arrivals.arrive();
      }
    });
  };
  const exchangeOn = (socket: Socket, end: () => void): Exchange => ({
    exchange: () => {
      socket.write(payload);
      return arrivals.next();
    },
    close: async () => end(),
  });
  if (side === "a") {
    const server = createServer();
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
    const join = async () => {
      const socket = await accepted;
      receive(socket);
      return exchangeOn(socket, () => {
        socket.destroy();
        server.close();
      });
    };
    return { address: String(port), join };
  }
  return {
    address: null,
    join: async (port) => {
      const socket = connect({ port: Number(port), host: "127.0.0.1" });
      await new Promise((resolve) => socket.once("connect", resolve));
      receive(socket);
      return exchangeOn(socket, () => socket.destroy());
    },
  };
}

async function openNats(side: Side, payload: Uint8Array, server: string): Promise<Opening> {
  const client = await connectTo(server);
  const arrivals = new Arrivals();
  client.subscribe(busSubject({ prefix: PREFIX }, `bare-${side}`), () => arrivals.arrive());
  await client.flush();
  const subject = busSubject({ prefix: PREFIX }, `bare-${side === "a" ? "b" : "a"}`);
  const exchange = () => {
    client.publish(subject, { payload });
    return arrivals.next();
  };
  const join = async () => ({ exchange, close: () => client.close() });
  return { address: null, join };
}

async function openSocketBus(side: Side, payload: Float32Array): Promise<Opening> {
  const bus = await SocketTensorBus.listen({ token: TOKEN, clock: systemClock });
  return { address: bus.address, join: async (other) => joined(bus, side, payload, other ?? "") };
}

/** Of this process; pairs of one process have a subject each. */
let natsEnds = 0;

async function openNatsBus(side: Side, payload: Float32Array, server: string): Promise<Opening> {
  const client = await connectTo(server);
  const parts = { clock: systemClock, prefix: PREFIX, token: TOKEN };
  natsEnds += 1;
  const bus = await NatsTensorBus.open({ ...parts, client, nodeId: `${side}-${natsEnds}` });
  return { address: bus.address, join: async (other) => joined(bus, side, payload, other ?? "") };
}

function joined(
  bus: TensorBus & { close(): Promise<void> },
  side: Side,
  half: Float32Array,
  address: string,
): Exchange {
  const arrivals = new Arrivals();
  const payload = bytesOf(half);
  const header = headerOf(half);
  const partner = { nodeId: side === "a" ? "b" : "a", busAddress: address, busToken: TOKEN };
  const channel = bus.join("task.1", partner, {
    onFrame: () => arrivals.arrive(),
    onLost: (reason) => process.stderr.write(`${reason}\n`),
  });
  let step = 0;
  return {
    exchange: () => {
      channel.send({ ...header, step }, payload);
      step += 1;
      return arrivals.next();
    },
    close: async () => {
      channel.close();
      await bus.close();
    },
  };
}

function headerOf(half: Float32Array): FrameHeader {
  const sha256 = createHash("sha256").update(bytesOf(half)).digest("hex");
  return {
    jobId: "0123456789abcdefghjkmnpqrs",
    clipId: "0123456789abcdefghjkmnpqrs-0",
    ...{ epoch: 1, attempt: 1, step: 0, half: "cond", dtype: "F32", shape: [half.length] },
    ...{ sha256, planHash: sha256, latentsDigest: sha256 },
  };
}

function connectTo(address: string): Promise<NatsClient> {
  const settings = {
    servers: [address],
    role: "node",
    seed: null,
    tls: null,
    name: "bench",
  } as const;
  return NatsClient.connect(settings, { clock: systemClock, log: silentLog });
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
