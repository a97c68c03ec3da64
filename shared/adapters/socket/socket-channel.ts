/** @file One pair's channel: a connection of our own to send on, the partner's to receive on. */
import type { Socket } from "node:net";
import type { Partner } from "../../farm/work.js";
import type { CancelTimer, Clock } from "../../ports/clock.js";
import type { BusChannel, ChannelEvents, FrameHeader } from "../../ports/tensor-bus.js";
import { encodeFrameHead, encodeGreeting, FrameReader } from "./frame-codec.js";

/** How long a connection may take to come about. */
const CONNECT_MS_MAX = 5_000;
/** Our frames no longer arrive: how long those that are on their way to us may still take. */
const DRAIN_MS_MAX = 2_000;
/** After `close`, how long the last frames may take to leave. */
const LINGER_MS_MAX = 5_000;
/** A partner is at most a step ahead, so more than a few halves in the queue means that it is stuck. */
const QUEUED_BYTES_MAX = 256 * 1024 * 1024;

export type BusCount =
  | "frames_sent"
  | "frames_received"
  | "frames_dropped_header"
  | "frames_dropped_length"
  | "frames_dropped_checksum"
  | "frames_dropped_cut"
  | "connections_refused_greeting"
  | "connections_refused_identity"
  | "connections_refused_token"
  | "connections_refused_duplicate"
  | "connections_refused_unjoined"
  | "connections_refused_excess"
  | "connections_lost_framing";

/** A connection that comes about. */
export interface Dialled {
  readonly socket: Socket;
  /** The event by which it is there. */
  readonly ready: "connect" | "secureConnect";
}

export interface ChannelParts {
  readonly channelId: string;
  readonly partner: Partner;
  readonly events: ChannelEvents;
  readonly clock: Clock;
  /** Opens a connection to the partner; it greets at once and is written before it is there. */
  readonly dial: (partner: Partner) => Dialled;
  readonly count: (what: BusCount) => void;
  /** The channel has ended and takes no connection any more. */
  readonly onEnded: () => void;
}

export class SocketChannel implements BusChannel {
  readonly #parts: ChannelParts;
  readonly #outbound: Socket;
  #inbound: Socket | null = null;
  #connected = false;
  #ended = false;
  #cancelTimer: CancelTimer;

  /** Dials the partner at once. */
  constructor(parts: ChannelParts) {
    this.#parts = parts;
    const { partner, channelId, clock, dial } = parts;
    const { socket, ready } = dial(partner);
    this.#outbound = socket;
    this.#cancelTimer = clock.after(CONNECT_MS_MAX, () => {
      socket.destroy(new Error(`no connection within ${CONNECT_MS_MAX} ms`));
    });
    let why = "it closed the connection";
    socket.setNoDelay(true);
    socket.once(ready, () => {
      this.#connected = true;
      this.#cancelTimer();
    });
    socket.on("error", (error) => {
      why = error.message;
    });
    socket.on("close", () => this.#outboundClosed(why));
    // Nothing comes on this connection, but its end is only seen by a reader.
    socket.resume();
    socket.write(encodeGreeting({ token: partner.busToken, channelId }));
  }

  send(header: FrameHeader, payload: Uint8Array): void {
    if (this.#ended || this.#outbound.destroyed) return;
    this.#parts.count("frames_sent");
    this.#outbound.cork();
    this.#outbound.write(encodeFrameHead(header, payload.length));
    this.#outbound.write(payload);
    this.#outbound.uncork();
    if (this.#outbound.writableLength > QUEUED_BYTES_MAX) {
      this.#outbound.destroy(new Error(`it reads too slowly: ${QUEUED_BYTES_MAX} bytes wait`));
    }
  }

  close(): void {
    if (this.#ended) return;
    this.#end();
    // The partner may still need our last half: it leaves before the connection ends.
    const { clock } = this.#parts;
    const cancelLinger = clock.after(LINGER_MS_MAX, () => this.#outbound.destroy());
    this.#outbound.once("close", cancelLinger);
    this.#outbound.end();
  }

  /** Leaves without waiting for what is queued. */
  destroy(): void {
    this.#end();
    this.#outbound.destroy();
  }

  /** Whose frames it takes. */
  get partnerId(): string {
    return this.#parts.partner.nodeId;
  }

  /**
   * Takes the partner's connection, which has greeted rightly.
   *
   * @returns false when it already has one
   */
  attach(socket: Socket): boolean {
    if (this.#inbound !== null || this.#ended) return false;
    this.#inbound = socket;
    const reader = new FrameReader();
    socket.on("data", (piece: Buffer) => this.#receive(reader, socket, piece));
    let why = "it closed the connection";
    socket.on("error", (error) => {
      why = error.message;
    });
    socket.on("close", () => {
      if (!this.#ended && !reader.isBetweenFrames) this.#parts.count("frames_dropped_cut");
      this.#lose(why);
    });
    socket.resume();
    return true;
  }

  #receive(reader: FrameReader, socket: Socket, piece: Buffer): void {
    for (const event of reader.push(piece)) {
      if (this.#ended) return;
      switch (event.kind) {
        case "frame":
          this.#parts.count("frames_received");
          this.#parts.events.onFrame(event.header, event.payload);
          break;
        case "dropped":
          this.#parts.count(`frames_dropped_${event.reason}`);
          break;
        case "lost-framing":
          this.#parts.count("connections_lost_framing");
          socket.destroy(new Error("its frames cannot be told apart"));
          break;
      }
    }
  }

  /**
   * A partner that has made its last step closes both connections, and the end of ours may be seen
   * before its last frame: that frame is read first.
   */
  #outboundClosed(why: string): void {
    this.#cancelTimer();
    if (this.#ended) return;
    if (!this.#connected) this.#lose(why);
    else this.#cancelTimer = this.#parts.clock.after(DRAIN_MS_MAX, () => this.#lose(why));
  }

  #lose(why: string): void {
    if (this.#ended) return;
    this.destroy();
    const { partner, events } = this.#parts;
    events.onLost(`node ${partner.nodeId} is lost: ${why}`);
  }

  #end(): void {
    this.#ended = true;
    this.#cancelTimer();
    this.#inbound?.destroy();
    this.#parts.onEnded();
  }
}
