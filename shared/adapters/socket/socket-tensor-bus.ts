/**
 * @file TensorBus over TCP, from node to node: the fastest way where nodes reach each other.
 *
 * Every channel has two connections, one dialled by each side, each carrying frames to its dialler.
 * Who dials shows the listener's token and names the channel. Beyond loopback both sides also show a
 * node's certificate, and a channel gives its frames to its partner only.
 */
import {
  type AddressInfo,
  connect,
  createServer,
  type OnReadOpts,
  type Server,
  type Socket,
} from "node:net";
import { TLSSocket } from "node:tls";
import { assert } from "../../core/assert.js";
import { endpointOf, isLoopback } from "../../core/endpoint.js";
import { FarmError } from "../../core/errors.js";
import type { Partner } from "../../farm/work.js";
import type { CancelTimer, Clock } from "../../ports/clock.js";
import type { BusChannel, ChannelEvents, TensorBus } from "../../ports/tensor-bus.js";
import { systemErrorCode } from "../files/durable.js";
import type { BusTls } from "../tls/bus-tls.js";
import { type Greeting, GreetingReader, tokensMatch } from "./frame-codec.js";
import { type BusCount, type Dialled, SocketChannel } from "./socket-channel.js";

/** How long a connection may wait: for its own greeting, then for our side to join the channel. */
const WAIT_MS_MAX = 10_000;
const HOST_DEFAULT = "127.0.0.1";
/** Connections that wait; a node takes part in one pair at a time. */
const WAITING_MAX = 16;

export interface SocketBusOptions {
  /** Secret that a dialler must show; at least 128 bits from a random source. */
  readonly token: string;
  readonly clock: Clock;
  /** Default "127.0.0.1". */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Hears of every connection and frame that came and was not taken. */
  readonly onRefused?: (what: BusCount) => void;
  /** Null: bare sockets, on loopback only. */
  readonly tls?: BusTls | null;
}

export class SocketTensorBus implements TensorBus {
  /** How often each thing happened. */
  readonly counts = new Map<BusCount, number>();
  readonly #options: SocketBusOptions;
  readonly #server: Server;
  readonly #channels = new Map<string, SocketChannel>();
  /** Connections whose greeting is not complete yet. */
  readonly #greeting = new Set<Socket>();
  /** Connections for channels that our side has not joined yet, paused. */
  readonly #held = new Map<string, { socket: Socket; cancelDeadline: CancelTimer }>();

  private constructor(options: SocketBusOptions) {
    this.#options = options;
    const { tls = null, host = HOST_DEFAULT } = options;
    assert(tls !== null || isLoopback(`${host}:0`), `${host} to be loopback without TLS`);
    const accept = (socket: Socket) => this.#accept(socket);
    this.#server = tls?.createServer(accept) ?? createServer(accept);
  }

  /** @throws FarmError "unreachable" when the address cannot be listened on */
  static async listen(options: SocketBusOptions): Promise<SocketTensorBus> {
    const bus = new SocketTensorBus(options);
    const { host = HOST_DEFAULT, port = 0 } = options;
    await new Promise<void>((resolve, reject) => {
      bus.#server.once("error", (error) => {
        const text = `tensor bus: cannot listen on ${host}:${port} (${systemErrorCode(error)})`;
        reject(new FarmError("unreachable", text));
      });
      bus.#server.listen({ host, port }, resolve);
    });
    return bus;
  }

  /** host:port, for partners. */
  get address(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
  }

  /** What partners must show. */
  get token(): string {
    return this.#options.token;
  }

  join(channelId: string, partner: Partner, events: ChannelEvents): BusChannel {
    assert(!this.#channels.has(channelId), `channel ${channelId} to be joined once`);
    const channel = new SocketChannel({
      channelId,
      partner,
      events,
      clock: this.#options.clock,
      dial: (to, onread) => this.#dial(to, onread),
      count: (what) => this.#count(what),
      onEnded: () => {
        if (this.#channels.get(channelId) === channel) this.#channels.delete(channelId);
      },
    });
    this.#channels.set(channelId, channel);
    const held = this.#held.get(channelId);
    if (held) {
      this.#held.delete(channelId);
      held.cancelDeadline();
      this.#attach(channel, held.socket);
    }
    return channel;
  }

  /** Ends every channel and stops listening; what channels that we left have sent still goes. */
  async close(): Promise<void> {
    for (const channel of [...this.#channels.values()]) channel.leave();
    for (const { socket } of this.#held.values()) socket.destroy();
    for (const socket of this.#greeting) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    socket.setNoDelay(true);
    // A reset is followed by "close", where it is dealt with.
    socket.on("error", () => {});
    if (this.#greeting.size >= WAITING_MAX) {
      this.#refuse(socket, "connections_refused_excess");
      return;
    }
    this.#greeting.add(socket);
    const reader = new GreetingReader();
    const cancelDeadline = this.#options.clock.after(WAIT_MS_MAX, () =>
      this.#refuse(socket, "connections_refused_greeting"),
    );
    const leave = () => {
      cancelDeadline();
      this.#greeting.delete(socket);
    };
    socket.once("close", leave);
    const onData = (piece: Buffer) => {
      const answer = reader.push(piece);
      if (answer === null) return;
      socket.off("data", onData);
      socket.off("close", leave);
      leave();
      if (answer === "bad") this.#refuse(socket, "connections_refused_greeting");
      else this.#greeted(socket, answer);
    };
    socket.on("data", onData);
  }

  #greeted(socket: Socket, { token, channelId }: Greeting): void {
    if (!tokensMatch(token, this.#options.token)) {
      this.#refuse(socket, "connections_refused_token");
      return;
    }
    socket.pause();
    const channel = this.#channels.get(channelId);
    if (channel) {
      this.#attach(channel, socket);
      return;
    }
    if (this.#held.has(channelId)) this.#refuse(socket, "connections_refused_duplicate");
    else if (this.#held.size >= WAITING_MAX) this.#refuse(socket, "connections_refused_excess");
    else this.#hold(socket, channelId);
  }

  #dial(partner: Partner, onread: OnReadOpts): Dialled {
    const { tls } = this.#options;
    if (tls) return { socket: tls.connect(partner, onread), ready: "secureConnect" };
    return { socket: connect({ ...endpointOf(partner.busAddress), onread }), ready: "connect" };
  }

  #attach(channel: SocketChannel, socket: Socket): void {
    const isPartner =
      !(socket instanceof TLSSocket) || this.#options.tls?.nodeIdOf(socket) === channel.partnerId;
    if (!isPartner) this.#refuse(socket, "connections_refused_identity");
    else if (!channel.attach(socket)) this.#refuse(socket, "connections_refused_duplicate");
  }

  /** Our partner was assigned its half before we were: it waits for what we will send. */
  #hold(socket: Socket, channelId: string): void {
    const cancelDeadline = this.#options.clock.after(WAIT_MS_MAX, () => {
      this.#held.delete(channelId);
      this.#refuse(socket, "connections_refused_unjoined");
    });
    this.#held.set(channelId, { socket, cancelDeadline });
  }

  #refuse(socket: Socket, why: BusCount): void {
    this.#count(why);
    socket.destroy();
  }

  #count(what: BusCount): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
    if (what !== "frames_sent" && what !== "frames_received") this.#options.onRefused?.(what);
  }
}
