/**
 * @file One pair's channel: a connection of our own to receive on, the partner's to send on.
 *
 * That way round, since only who dials can say where the bytes of a connection are put: halves are
 * read into the memory that they stay in.
 */
import type { OnReadOpts, Socket } from "node:net";
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
  /** Opens a connection to the partner; what comes on it goes to `onread`. */
  readonly dial: (partner: Partner, onread: OnReadOpts) => Dialled;
  readonly count: (what: BusCount) => void;
  /** The channel has ended and takes no connection any more. */
  readonly onEnded: () => void;
}

/** open → closed by us (what we sent is still given to the partner) or ended. */
type Phase = "open" | "closed" | "ended";

interface Waiting {
  readonly header: FrameHeader;
  readonly payload: Uint8Array;
}

export class SocketChannel implements BusChannel {
  readonly #parts: ChannelParts;
  readonly #reader = new FrameReader();
  readonly #inbound: Socket;
  #outbound: Socket | null = null;
  /** Frames that were sent before the partner's connection came. */
  readonly #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #phase: Phase = "open";
  #cancelTimer: CancelTimer;

  /** Dials the partner at once. */
  constructor(parts: ChannelParts) {
    this.#parts = parts;
    const { partner, channelId, clock, dial } = parts;
    const { socket, ready } = dial(partner, {
      buffer: () => this.#reader.room,
      callback: (bytes) => {
        this.#receive(bytes);
        return true;
      },
    });
    this.#inbound = socket;
    this.#cancelTimer = clock.after(CONNECT_MS_MAX, () => {
      socket.destroy(new Error(`no connection within ${CONNECT_MS_MAX} ms`));
    });
    socket.setNoDelay(true);
    socket.once(ready, () => this.#cancelTimer());
    let why = "it closed the connection";
    socket.on("error", (error) => {
      why = error.message;
    });
    socket.on("close", () => {
      if (this.#phase === "open" && !this.#reader.isBetweenFrames) {
        this.#parts.count("frames_dropped_cut");
      }
      this.#lose(why);
    });
    socket.write(encodeGreeting({ token: partner.busToken, channelId }));
  }

  send(header: FrameHeader, payload: Uint8Array): void {
    if (this.#phase !== "open" || this.#outbound?.destroyed) return;
    this.#parts.count("frames_sent");
    if (this.#outbound) {
      this.#write(this.#outbound, header, payload);
      return;
    }
    this.#waiting.push({ header, payload });
    this.#waitingBytes += payload.length;
    if (this.#waitingBytes > QUEUED_BYTES_MAX) {
      this.#lose(`it fetches nothing: ${QUEUED_BYTES_MAX} bytes wait`);
    }
  }

  close(): void {
    if (this.#phase !== "open") return;
    this.#phase = "closed";
    this.#inbound.destroy();
    // The partner may still need our last half: it leaves before the connection ends.
    this.#cancelTimer();
    this.#cancelTimer = this.#parts.clock.after(LINGER_MS_MAX, () => this.destroy());
    this.#outbound?.end();
  }

  /** Leaves without waiting for what is queued. */
  destroy(): void {
    if (this.#phase === "ended") return;
    this.#phase = "ended";
    this.#cancelTimer();
    this.#inbound.destroy();
    this.#outbound?.destroy();
    this.#parts.onEnded();
  }

  /** Of the bus: ends now, or when the partner has what was sent to it. */
  leave(): void {
    if (this.#phase === "open" || this.#outbound === null) this.destroy();
  }

  /** Who may fetch our frames. */
  get partnerId(): string {
    return this.#parts.partner.nodeId;
  }

  /**
   * Takes the partner's connection, which has greeted rightly.
   *
   * @returns false when it already has one
   */
  attach(socket: Socket): boolean {
    if (this.#outbound !== null || this.#phase === "ended") return false;
    this.#outbound = socket;
    let why = "it closed the connection";
    socket.on("error", (error) => {
      why = error.message;
    });
    socket.on("close", () => this.#outboundClosed(why));
    // Nothing comes on this connection, but its end is only seen by a reader.
    socket.resume();
    for (const { header, payload } of this.#waiting.splice(0)) this.#write(socket, header, payload);
    if (this.#phase === "closed") socket.end();
    return true;
  }

  #write(socket: Socket, header: FrameHeader, payload: Uint8Array): void {
    socket.cork();
    socket.write(encodeFrameHead(header, payload.length));
    socket.write(payload);
    socket.uncork();
    if (socket.writableLength > QUEUED_BYTES_MAX) {
      socket.destroy(new Error(`it reads too slowly: ${QUEUED_BYTES_MAX} bytes wait`));
    }
  }

  /** @param bytes how many came into the reader's room */
  #receive(bytes: number): void {
    for (const event of this.#reader.filled(bytes)) {
      if (this.#phase !== "open") return;
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
          this.#inbound.destroy(new Error("its frames cannot be told apart"));
          break;
      }
    }
  }

  /**
   * A partner that has made its last step closes both connections, and the end of the one we write to
   * may be seen before its last frame: that frame is read first.
   */
  #outboundClosed(why: string): void {
    if (this.#phase === "closed") this.destroy();
    if (this.#phase !== "open") return;
    this.#cancelTimer();
    this.#cancelTimer = this.#parts.clock.after(DRAIN_MS_MAX, () => this.#lose(why));
  }

  #lose(why: string): void {
    if (this.#phase !== "open") return;
    this.destroy();
    const { partner, events } = this.#parts;
    events.onLost(`node ${partner.nodeId} is lost: ${why}`);
  }
}
