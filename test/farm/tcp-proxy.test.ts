import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { TcpProxy, type Toxic } from "./tcp-proxy.js";

/** A connection through a proxy, seen from both ends. */
async function world() {
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = await TcpProxy.start(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  const sockets: Socket[] = [];
  onTestFinished(async () => {
    await proxy.stop();
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const dial = async () => {
    const accepted = once(server, "connection");
    const port = Number(proxy.address.split(":")[1]);
    const near = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    const [far] = (await accepted) as [Socket];
    sockets.push(near, far);
    return { near: new End(near), far: new End(far) };
  };
  return { proxy, dial };
}

/** What came out of a socket so far. */
class End {
  readonly socket: Socket;
  readonly pieces: Buffer[] = [];
  readonly #waiting = new Set<() => void>();
  /** How it ended. A reset right after data reads as an orderly end on some systems. */
  ended: "no" | "in order" | "by a reset" = "no";

  constructor(socket: Socket) {
    this.socket = socket;
    const told = (act: () => void) => {
      act();
      for (const look of this.#waiting) look();
    };
    socket.on("data", (piece: Buffer) => told(() => this.pieces.push(piece)));
    socket.on("end", () => told(() => (this.ended = "in order")));
    socket.on("error", () => told(() => (this.ended = "by a reset")));
  }

  get text(): string {
    return Buffer.concat(this.pieces).toString();
  }

  until(test: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!test()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}

/** Sends through one toxic, upstream, and waits for so many bytes at the far end. */
async function sent(text: string, awaited: number, ...toxics: Toxic[]) {
  const { proxy, dial } = await world();
  const { near, far } = await dial();
  proxy.set("up", ...toxics);
  near.socket.write(text);
  await far.until(() => far.text.length >= awaited || far.ended !== "no");
  return { proxy, near, far };
}

test("without toxics bytes and ends pass both ways", async () => {
  const { near, far } = await sent("hello", 5);
  expect(far.text).toBe("hello");
  near.socket.end();
  await far.until(() => far.ended !== "no");
  far.socket.end("bye");
  await near.until(() => near.ended !== "no");
  expect([near.text, near.ended, far.ended]).toEqual(["bye", "in order", "in order"]);
});

test("latency delays every byte alike, and more in a row do not add up", async () => {
  const { proxy, dial } = await world();
  const { near, far } = await dial();
  proxy.set("up", { kind: "latency", ms: 100 });
  const startMs = performance.now();
  for (let i = 0; i < 100; i++) {
    near.socket.write(`${i} `);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await far.until(() => far.text.endsWith("99 "));
  const tookMs = performance.now() - startMs;
  expect(tookMs).toBeGreaterThanOrEqual(99);
  // One after the other would be ten seconds.
  expect(tookMs).toBeLessThan(5_000);
});

test("bandwidth: a thousand bytes at 5,000 a second take a fifth of one", async () => {
  const startMs = performance.now();
  await sent("x".repeat(1_000), 1_000, { kind: "bandwidth", bytesPerS: 5_000 });
  // The last of four pieces has arrived before its own pause.
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(140);
});

test("the slicer cuts without losing or turning anything around", async () => {
  const text = Array.from({ length: 200 }, (_, i) => i).join(" ");
  const { far } = await sent(text, text.length, { kind: "slicer", bytes: 1 });
  expect(far.text).toBe(text);
  expect(far.pieces.length).toBeGreaterThan(10);
});

test("a black hole delivers once it has gone", async () => {
  const { proxy, dial } = await world();
  const { near, far } = await dial();
  proxy.setBoth({ kind: "timeout" });
  const swallowed = proxy.hit("timeout");
  near.socket.write("late");
  await swallowed;
  expect(far.text).toBe("");
  proxy.heal();
  await far.until(() => far.text === "late");
});

const damaged: [name: string, toxic: Toxic, arrives: string][] = [
  ["one bit of one byte", { kind: "flip_bit", atByte: 2 }, "abbdef"],
  ["a piece twice", { kind: "duplicate", atByte: 0 }, "abcdefabcdef"],
];
test.each(damaged)("%s", async (_name, toxic, arrives) => {
  const { far } = await sent("abcdef", arrives.length, toxic);
  expect([far.text, far.ended]).toEqual([arrives, "no"]);
});

test("a cut after three bytes", async () => {
  const { near, far } = await sent("abcdef", 3, { kind: "limit_data", bytes: 3 });
  await Promise.all([near, far].map((end) => end.until(() => end.ended !== "no")));
  expect(far.text).toBe("abc");
});

test("a flipped bit is flipped once a connection, and the next connection has its own", async () => {
  const { proxy, dial } = await world();
  proxy.set("up", { kind: "flip_bit", atByte: 0 });
  for (let i = 0; i < 2; i++) {
    const { near, far } = await dial();
    near.socket.write("a");
    await far.until(() => far.text.length === 1);
    near.socket.write("a");
    await far.until(() => far.text.length === 2);
    expect(far.text).toBe("`a");
  }
});

test("half-close: the far end sees an end, and can still answer", async () => {
  const { proxy, dial } = await world();
  const { near, far } = await dial();
  proxy.set("up", { kind: "half_close" });
  await far.until(() => far.ended !== "no");
  far.socket.write("still here");
  await near.until(() => near.text === "still here");
  near.socket.write("lost");
  expect([near.ended, far.ended, far.text]).toEqual(["no", "in order", ""]);
});

test("reset: open connections end on both sides, and so does one that is dialled", async () => {
  const { proxy, dial } = await world();
  const { near, far } = await dial();
  proxy.set("up", { kind: "reset_peer" });
  await Promise.all([near, far].map((end) => end.until(() => end.ended !== "no")));
  expect(proxy.connectionCount).toBe(0);
  const refused = new End(connect(Number(proxy.address.split(":")[1]), "127.0.0.1"));
  await refused.until(() => refused.ended !== "no");
  proxy.heal();
  const again = await dial();
  again.near.socket.write("well");
  await again.far.until(() => again.far.text === "well");
});
