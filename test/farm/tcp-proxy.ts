/**
 * @file A TCP proxy that makes a network bad on purpose, in toxiproxy's vocabulary.
 *
 * Toxics belong to a direction, act on every connection, and may be changed while bytes flow.
 * Offsets count the bytes of one connection and direction since the toxics were set.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** "up": from who dialled to the target; "down": the answer. */
export type Direction = "up" | "down";

export type Toxic =
  /** Every byte arrives so much later. */
  | { readonly kind: "latency"; readonly ms: number }
  | { readonly kind: "bandwidth"; readonly bytesPerS: number }
  /** Pieces of at most so many bytes, each in a packet of its own. */
  | { readonly kind: "slicer"; readonly bytes: number }
  /** A black hole: nothing arrives. As with a real one, TCP delivers it once the hole has gone. */
  | { readonly kind: "timeout" }
  /** The connection is reset, one that is dialled as well. */
  | { readonly kind: "reset_peer" }
  /** The receiver sees an orderly end; what comes later is lost. */
  | { readonly kind: "half_close" }
  /** Reset after so many bytes. */
  | { readonly kind: "limit_data"; readonly bytes: number }
  /** The lowest bit of one byte, once a connection. */
  | { readonly kind: "flip_bit"; readonly atByte: number }
  /** The piece that holds this byte comes twice, once a connection. */
  | { readonly kind: "duplicate"; readonly atByte: number };

/** Bytes that wait in one direction before the sender is told to wait. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;

export class TcpProxy {
  /** host:port to dial; null: not known yet, and connections are reset. */
  target: string | null;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #toxics: Record<Direction, readonly Toxic[]> = { up: [], down: [] };
  readonly #waiting: { readonly kind: Toxic["kind"]; readonly resolve: () => void }[] = [];

  private constructor(target: string | null) {
    this.target = target;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  static async start(target: string | null): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Replaces the toxics of a direction, for connections that are open, too. */
  set(direction: Direction, ...toxics: readonly Toxic[]): void {
    this.#toxics[direction] = toxics;
    for (const connection of this.#connections) connection.change(direction, toxics);
  }

  /** Both directions alike. */
  setBoth(...toxics: readonly Toxic[]): void {
    this.set("up", ...toxics);
    this.set("down", ...toxics);
  }

  heal(): void {
    this.setBoth();
  }

  /** Resolves when a toxic of this kind has hit some bytes, or a connection, from now on. */
  hit(kind: Toxic["kind"]): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ kind, resolve }));
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections) connection.reset();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(client: Socket): void {
    if (this.target === null || this.#toxics.up.some(({ kind }) => kind === "reset_peer")) {
      client.resetAndDestroy();
      return;
    }
    const port = this.target.slice(this.target.lastIndexOf(":") + 1);
    const server = connect({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true });
    const connection = new Connection(client, server, {
      onHit: (kind) => this.#onHit(kind),
      onEnd: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    connection.change("up", this.#toxics.up);
    connection.change("down", this.#toxics.down);
  }

  #onHit(kind: Toxic["kind"]): void {
    const told = this.#waiting.filter((each) => each.kind === kind);
    for (const each of told) {
      this.#waiting.splice(this.#waiting.indexOf(each), 1);
      each.resolve();
    }
  }
}

interface Listener {
  readonly onHit: (kind: Toxic["kind"]) => void;
  readonly onEnd: () => void;
}

class Connection {
  readonly #sockets: readonly [Socket, Socket];
  readonly #flows: Record<Direction, Flow>;
  readonly #listener: Listener;

  constructor(client: Socket, server: Socket, listener: Listener) {
    this.#sockets = [client, server];
    this.#listener = listener;
    const parts = { reset: () => this.reset(), onHit: listener.onHit };
    this.#flows = { up: new Flow(client, server, parts), down: new Flow(server, client, parts) };
    let open = 2;
    for (const socket of this.#sockets) {
      socket.setNoDelay(true);
      socket.on("error", () => this.reset());
      socket.on("close", () => {
        open -= 1;
        if (open === 0) listener.onEnd();
      });
    }
  }

  change(direction: Direction, toxics: readonly Toxic[]): void {
    this.#flows[direction].change(toxics);
  }

  reset(): void {
    for (const flow of Object.values(this.#flows)) flow.stop();
    for (const socket of this.#sockets) if (!socket.destroyed) socket.resetAndDestroy();
    this.#listener.onEnd();
  }
}

interface FlowParts {
  readonly reset: () => void;
  readonly onHit: Listener["onHit"];
}

/** One direction of one connection. */
class Flow {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #parts: FlowParts;
  /** Bytes and when they came; null is the end of the stream. */
  readonly #queue: { readonly bytes: Buffer | null; readonly atMs: number }[] = [];
  #queuedBytes = 0;
  #toxics: readonly Toxic[] = [];
  /** Bytes passed on since the toxics were set. */
  #passed = 0;
  /** Toxics that act once and have done so. */
  #spent = new Set<Toxic>();
  #pumping = false;
  #stopped = false;
  #wake: () => void = () => {};

  constructor(from: Socket, to: Socket, parts: FlowParts) {
    this.#from = from;
    this.#to = to;
    this.#parts = parts;
    from.on("data", (bytes: Buffer) => this.#take(bytes));
    from.on("end", () => this.#take(null));
  }

  change(toxics: readonly Toxic[]): void {
    this.#toxics = toxics;
    this.#passed = 0;
    this.#spent = new Set();
    if (this.#find("reset_peer")) {
      this.#parts.onHit("reset_peer");
      this.#parts.reset();
    } else if (this.#find("half_close")) {
      this.#parts.onHit("half_close");
      this.#to.end();
    }
    this.#wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  #find<K extends Toxic["kind"]>(kind: K): Extract<Toxic, { kind: K }> | undefined {
    return this.#toxics.find((toxic): toxic is Extract<Toxic, { kind: K }> => toxic.kind === kind);
  }

  #take(bytes: Buffer | null): void {
    this.#queue.push({ bytes, atMs: performance.now() });
    this.#queuedBytes += bytes?.length ?? 0;
    if (this.#queuedBytes > WAITING_BYTES_MAX) this.#from.pause();
    if (!this.#pumping) void this.#pump();
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    for (let next = this.#queue[0]; next && !this.#stopped; next = this.#queue[0]) {
      await this.#passable(next.atMs);
      if (this.#stopped) break;
      this.#queue.shift();
      if (next.bytes === null) this.#to.end();
      else await this.#pass(next.bytes);
      this.#queuedBytes -= next.bytes?.length ?? 0;
      if (this.#queuedBytes <= WAITING_BYTES_MAX) this.#from.resume();
    }
    this.#pumping = false;
  }

  /** Waits for the end of a black hole and for what latency asks. */
  async #passable(sinceMs: number): Promise<void> {
    while (!this.#stopped) {
      const latency = this.#find("latency");
      const waitMs = latency ? sinceMs + latency.ms - performance.now() : 0;
      if (this.#find("timeout")) {
        this.#parts.onHit("timeout");
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } else if (waitMs > 0) {
        this.#parts.onHit("latency");
        await sleep(waitMs);
      } else return;
    }
  }

  async #pass(bytes: Buffer): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      await this.#passable(0);
      const left = (this.#find("limit_data")?.bytes ?? Number.POSITIVE_INFINITY) - this.#passed;
      if (this.#stopped) return;
      if (left <= 0) {
        this.#parts.onHit("limit_data");
        this.#parts.reset();
        return;
      }
      const piece = rest.subarray(0, Math.min(this.#pieceBytes(), left));
      rest = rest.subarray(piece.length);
      for (const copy of this.#damaged(piece)) await this.#write(copy);
      this.#passed += piece.length;
      const rate = this.#find("bandwidth");
      if (rate) await sleep((piece.length / rate.bytesPerS) * 1_000);
      // Else the receiver, in this process or not, would find the slices together again.
      else if (rest.length > 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #pieceBytes(): number {
    const rate = this.#find("bandwidth");
    return this.#find("slicer")?.bytes ?? (rate ? Math.ceil(rate.bytesPerS / 20) : 65_536);
  }

  /** The piece as it arrives: as it is, with another bit, or twice. */
  #damaged(piece: Buffer): Buffer[] {
    const isHit = (toxic: Extract<Toxic, { atByte: number }> | undefined) => {
      if (!toxic || this.#spent.has(toxic)) return false;
      const at = toxic.atByte - this.#passed;
      if (at < 0 || at >= piece.length) return false;
      this.#spent.add(toxic);
      this.#parts.onHit(toxic.kind);
      return true;
    };
    const flip = this.#find("flip_bit");
    if (flip && isHit(flip)) {
      const other = Buffer.from(piece);
      const at = flip.atByte - this.#passed;
      other[at] = other[at]! ^ 1;
      return [other];
    }
    return isHit(this.#find("duplicate")) ? [piece, piece] : [piece];
  }

  /** Resolves when the receiver takes more. */
  #write(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve; // a reset may come instead of an answer
      if (this.#to.destroyed || this.#to.writableEnded) resolve();
      else this.#to.write(bytes, () => resolve());
    });
  }
}
