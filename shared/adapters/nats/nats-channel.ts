/**
 * @file One end of a pair's channel on NATS core, which forgets what nobody hears.
 *
 * So each end numbers its frames and keeps those that the other has not confirmed: a frame that was
 * lost while the server was away, or sent before the partner joined, is asked for and sent again.
 * Confirmations ride on the partner's own frames. Once a second each end says that it is there;
 * where nobody listens the server says so, and a partner that stays away is lost.
 */
import { createHash, type Hash } from "node:crypto";
import type { Partner } from "../../farm/work.js";
import type { CancelTimer, Clock } from "../../ports/clock.js";
import type { BusChannel, ChannelEvents, FrameHeader } from "../../ports/tensor-bus.js";
import { PAYLOAD_BYTES_MAX, payloadBytesOf } from "../socket/frame-codec.js";
import { type BusMessage, encodeBusMessage, HEADER_BYTES_MAX } from "./bus-message.js";
import type { NatsClient } from "./nats-client.js";

/**
 * Bytes of a part: below 32 KiB, what the client gathers before it writes. On loopback halves of
 * 3.69 MB take less time in such parts than in one message, which each hop would take in whole.
 */
const PART_BYTES = 32_000;
const BEAT_MS = 1_000;
/** How long nobody may listen at the partner's subject: it may be dialling a server that restarts. */
const AWAY_MS_MAX = 3_000;
/** The partner has left: how long its last frames may still take. */
const DRAIN_MS_MAX = 2_000;
/** After `close`, how long frames that were not confirmed may be asked for. */
const LINGER_MS_MAX = 5_000;
/** A partner is at most a step ahead, so more than a few halves in the queue means that it is stuck. */
const QUEUED_BYTES_MAX = 256 * 1024 * 1024;

export type NatsBusCount =
  | "frames_sent"
  | "frames_received"
  | "frames_sent_again"
  | "frames_dropped_double"
  | "frames_dropped_part"
  | "frames_dropped_length"
  | "frames_dropped_checksum"
  | "messages_refused_unjoined"
  | "messages_refused_token";

export interface NatsChannelParts {
  readonly channelId: string;
  readonly partner: Partner;
  /** Where the partner listens for this channel, and where we do. */
  readonly subjects: { readonly partner: string; readonly own: string };
  readonly events: ChannelEvents;
  readonly client: NatsClient;
  readonly clock: Clock;
  readonly count: (what: NatsBusCount) => void;
  /** Nothing of this channel is wanted any more, not even what it sent. */
  readonly onForgotten: () => void;
}

interface Kept {
  readonly number: number;
  readonly header: FrameHeader;
  readonly payload: Uint8Array;
}

/** A frame of which parts are missing. */
interface Partial {
  readonly number: number;
  readonly header: FrameHeader;
  /** Its own memory from offset 0, so that it can be viewed as float32. */
  readonly payload: Uint8Array;
  readonly hash: Hash;
  readonly parts: number;
  partCount: number;
  bytes: number;
}

/** open → closed by us (what we sent may be asked for) or ended (the partner is lost). */
type Phase = "open" | "closed" | "ended";

export class NatsChannel implements BusChannel {
  readonly #parts: NatsChannelParts;
  #phase: Phase = "open";
  #sent = 0;
  #got = 0;
  /** Frames that the partner has not confirmed. */
  readonly #kept: Kept[] = [];
  #keptBytes = 0;
  #partial: Partial | null = null;
  /** Number of the partner's last frame, once it has said that it leaves. */
  #last: number | null = null;
  /** Since when nobody listens; null while somebody does. */
  #awaySinceMs: number | null = null;
  #cancelBeat: CancelTimer = () => {};
  #cancelEnd: CancelTimer = () => {};

  constructor(parts: NatsChannelParts) {
    this.#parts = parts;
    // A partner that waits learns of us at once.
    this.#tell("beat");
    this.#beat();
  }

  send(header: FrameHeader, payload: Uint8Array): void {
    if (this.#phase !== "open") return;
    this.#parts.count("frames_sent");
    this.#sent += 1;
    this.#kept.push({ number: this.#sent, header, payload });
    this.#keptBytes += payload.length;
    if (this.#keptBytes > QUEUED_BYTES_MAX) {
      this.lose(`it confirms nothing: ${QUEUED_BYTES_MAX} bytes wait`);
      return;
    }
    this.#publish(this.#sent, header, payload);
  }

  close(): void {
    if (this.#phase !== "open") return;
    this.#phase = "closed";
    this.#cancelBeat();
    this.#cancelEnd();
    this.#tell("bye");
    this.#forgetIfConfirmed();
    this.#cancelEnd = this.#parts.clock.after(LINGER_MS_MAX, () => this.#forget());
  }

  /** Says once more that this side is there: the server is back, and the partner may be. */
  greet(): void {
    if (this.#phase === "open") this.#tell("beat");
    else if (this.#phase === "closed") this.#tell("bye");
  }

  /** Takes a message that the partner wrote. */
  take(message: BusMessage, data: Uint8Array): void {
    this.#awaySinceMs = null;
    this.#confirm(message.got);
    if (message.kind === "ask") this.#sendAgain();
    if (this.#phase === "closed") {
      if (message.kind !== "bye") this.#tell("bye");
      this.#forgetIfConfirmed();
      return;
    }
    if (this.#phase === "ended") return;
    if (message.kind === "frame") this.#takeFirst(message, data);
    else if (message.sent > this.#got) this.#tell("ask");
    if (message.kind === "bye") this.#leaveSoon(message.sent);
    this.#endIfAllCame();
  }

  /** Nobody listens at the partner's subject. */
  nobodyThere(): void {
    if (this.#phase === "closed") this.#forget();
    if (this.#phase !== "open") return;
    const nowMs = this.#parts.clock.nowMs();
    this.#awaySinceMs ??= nowMs;
    if (nowMs - this.#awaySinceMs >= AWAY_MS_MAX)
      this.lose("it is not connected to the NATS server");
  }

  /** Gives the partner up. */
  lose(why: string): void {
    if (this.#phase !== "open") return;
    this.#phase = "ended";
    this.#forget();
    const { partner, events } = this.#parts;
    events.onLost(`node ${partner.nodeId} is lost: ${why}`);
  }

  #beat(): void {
    this.#cancelBeat = this.#parts.clock.after(BEAT_MS, () => {
      this.#tell("beat");
      this.#beat();
    });
  }

  #tell(kind: "beat" | "ask" | "bye"): void {
    this.#write({ kind, sent: this.#sent, got: this.#got, part: 0, parts: 1, frame: null });
  }

  #write(message: BusMessage, payload?: Uint8Array): void {
    const { client, channelId, partner, subjects } = this.#parts;
    const headers = encodeBusMessage(message, channelId, partner.busToken);
    // Where nobody listens at the partner's subject, the server says so at the reply's.
    const reply = message.kind === "beat" ? { reply: subjects.own } : {};
    client.publish(subjects.partner, { headers, ...reply, ...(payload ? { payload } : {}) });
  }

  /**
   * In parts, so that the server passes the first on while we write the next. Only the first part
   * has headers; the others have a number at the end of their subject, and are bound by the sha256
   * that the first one names.
   */
  #publish(number: number, frame: FrameHeader, payload: Uint8Array): void {
    const { client, subjects } = this.#parts;
    const partBytes = Math.min(PART_BYTES, client.payloadBytesMax - HEADER_BYTES_MAX);
    const parts = Math.max(1, Math.ceil(payload.length / partBytes));
    const first = { kind: "frame" as const, sent: number, got: this.#got, part: 0, parts, frame };
    this.#write(first, payload.subarray(0, partBytes));
    for (let part = 1; part < parts; part++) {
      const bytes = payload.subarray(part * partBytes, (part + 1) * partBytes);
      client.publish(`${subjects.partner}.${number}.${part}`, { payload: bytes });
    }
  }

  #sendAgain(): void {
    for (const { number, header, payload } of this.#kept) {
      this.#parts.count("frames_sent_again");
      this.#publish(number, header, payload);
    }
  }

  #confirm(number: number): void {
    while (this.#kept[0] && this.#kept[0].number <= number) {
      this.#keptBytes -= this.#kept.shift()!.payload.length;
    }
  }

  /** The first part of a frame. */
  #takeFirst({ sent, parts, frame }: BusMessage, data: Uint8Array): void {
    const { count } = this.#parts;
    this.#partial = null;
    if (sent <= this.#got) count("frames_dropped_double");
    // One before it is missing, and so will be asked for.
    else if (sent > this.#got + 1) this.#tell("ask");
    else if (frame) this.#begin({ number: sent, header: frame, parts }, data);
  }

  /** A frame beyond the limit begins nothing. */
  #begin(
    begun: { readonly number: number; readonly header: FrameHeader; readonly parts: number },
    data: Uint8Array,
  ): void {
    const bytes = payloadBytesOf(begun.header);
    if (bytes > PAYLOAD_BYTES_MAX) return;
    // Memory of its own from offset 0, which can be viewed as float32.
    const payload = Buffer.allocUnsafeSlow(bytes);
    this.#partial = { ...begun, payload, hash: createHash("sha256"), partCount: 0, bytes: 0 };
    this.#add(this.#partial, data);
  }

  /** Another part of a frame, the numbers from its subject. */
  takePart(number: number, part: number, data: Uint8Array): void {
    const partial = this.#partial;
    if (partial?.number === number && partial.partCount === part) this.#add(partial, data);
    else this.#parts.count("frames_dropped_part");
  }

  #add(partial: Partial, data: Uint8Array): void {
    if (partial.bytes + data.length > partial.payload.length) {
      this.#partial = null;
      this.#parts.count("frames_dropped_length");
      return;
    }
    partial.payload.set(data, partial.bytes);
    partial.hash.update(data);
    partial.bytes += data.length;
    partial.partCount += 1;
    if (partial.partCount === partial.parts) this.#takeFrame(partial);
  }

  /** A damaged frame counts as not come: it is asked for with the next beat. */
  #takeFrame({ number, header, payload, hash, bytes }: Partial): void {
    const { count, events } = this.#parts;
    this.#partial = null;
    if (bytes !== payload.length) {
      count("frames_dropped_length");
      return;
    }
    if (hash.digest("hex") !== header.sha256) {
      count("frames_dropped_checksum");
      return;
    }
    this.#got = number;
    count("frames_received");
    events.onFrame(header, payload);
  }

  #leaveSoon(last: number): void {
    if (this.#last !== null) return;
    this.#last = last;
    this.#cancelEnd = this.#parts.clock.after(DRAIN_MS_MAX, () => this.lose("it has left"));
  }

  #endIfAllCame(): void {
    if (this.#last !== null && this.#got >= this.#last) {
      // It forgets its frames once it knows that they came.
      this.#tell("beat");
      this.lose("it has left");
    }
  }

  #forgetIfConfirmed(): void {
    if (this.#kept.length === 0) this.#forget();
  }

  #forget(): void {
    this.#cancelBeat();
    this.#cancelEnd();
    this.#kept.length = 0;
    this.#parts.onForgotten();
  }
}
