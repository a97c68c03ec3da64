/**
 * @file TensorBus on NATS core: for nodes that do not reach each other, but reach one server.
 *
 * A half goes to the server once and from there to the partner once. Every node has a subject of
 * its own, and a token that is needed to write to it.
 */
import { assert } from "../../core/assert.js";
import { FarmError } from "../../core/errors.js";
import type { Partner } from "../../farm/work.js";
import type { Clock } from "../../ports/clock.js";
import type { BusChannel, ChannelEvents, TensorBus } from "../../ports/tensor-bus.js";
import { decodeBusMessage } from "./bus-message.js";
import { HeldMessages } from "./held-messages.js";
import { type NatsBusCount, NatsChannel } from "./nats-channel.js";
import type { Msg, MsgHdrs, NatsClient } from "./nats-client.js";
import { busSubject } from "./nats-names.js";

const SCHEME = "nats:";
/** What a first part takes, with the longest headers. */
const PAYLOAD_BYTES_MIN = 65_536;
const NO_RESPONDERS = 503;
const PART_PLACE = /^(.+)\.(\d{1,15})\.(\d{1,7})$/;

export interface NatsBusOptions {
  readonly client: NatsClient;
  /** First token of the farm's subjects. */
  readonly prefix: string;
  readonly nodeId: string;
  /** Secret that a partner must know; at least 128 bits from a random source. */
  readonly token: string;
  readonly clock: Clock;
  /** Hears of every message that came and was not taken. */
  readonly onRefused?: (what: NatsBusCount) => void;
}

export class NatsTensorBus implements TensorBus {
  /** How often each thing happened. */
  readonly counts = new Map<NatsBusCount, number>();
  readonly #options: NatsBusOptions;
  readonly #subject: string;
  readonly #channels = new Map<string, NatsChannel>();
  /** For channels that our side has not joined yet. */
  readonly #held: HeldMessages;
  #unsubscribe: () => void = () => {};
  #stopWatching: () => void = () => {};

  private constructor(options: NatsBusOptions) {
    this.#options = options;
    this.#subject = busSubject(options, options.nodeId);
    this.#held = new HeldMessages(options.clock);
  }

  /**
   * Listens on the node's subject; partners can be heard when it resolves.
   *
   * @throws FarmError "invalid-argument" when the server's messages are too small
   */
  static async open(options: NatsBusOptions): Promise<NatsTensorBus> {
    const { client } = options;
    const bytesMax = client.payloadBytesMax;
    if (bytesMax < PAYLOAD_BYTES_MIN) {
      const text = `the NATS server takes messages of ${bytesMax} bytes, and the tensor bus wants ${PAYLOAD_BYTES_MIN}; raise max_payload in the server's settings (its default of 1MB will do)`;
      throw new FarmError("invalid-argument", text);
    }
    const bus = new NatsTensorBus(options);
    bus.#unsubscribe = client.subscribe(`${bus.#subject}.>`, (message) => bus.#take(message));
    bus.#stopWatching = client.onUp(() => {
      for (const channel of bus.#channels.values()) channel.greet();
    });
    await client.flush();
    return bus;
  }

  /** What partners publish to: "nats:<subject>". */
  get address(): string {
    return `${SCHEME}${this.#subject}`;
  }

  /** What partners must know. */
  get token(): string {
    return this.#options.token;
  }

  join(channelId: string, partner: Partner, events: ChannelEvents): BusChannel {
    assert(!this.#channels.has(channelId), `channel ${channelId} to be joined once`);
    const { client, clock } = this.#options;
    const own = `${this.#subject}.${channelId}`;
    const isReachable = partner.busAddress.startsWith(SCHEME);
    const subject = partner.busAddress.slice(SCHEME.length);
    const channel: NatsChannel = new NatsChannel({
      ...{ channelId, partner, events, client, clock },
      subjects: { own, partner: isReachable ? `${subject}.${channelId}` : own },
      count: (what) => this.#count(what),
      onForgotten: () => {
        if (this.#channels.get(channelId) === channel) this.#channels.delete(channelId);
      },
    });
    this.#channels.set(channelId, channel);
    // Whoever joins hears of nothing before `join` has returned.
    queueMicrotask(() => {
      for (const message of this.#held.take(channelId)) this.#take(message);
    });
    if (!isReachable) {
      clock.after(0, () => channel.lose(`its tensor bus ${partner.busAddress} is not on NATS`));
    }
    return channel;
  }

  /** Ends every channel, stops listening and closes the connection. */
  async close(): Promise<void> {
    this.#stopWatching();
    for (const channel of [...this.#channels.values()]) channel.close();
    this.#unsubscribe();
    this.#channels.clear();
    this.#held.clear();
    await this.#options.client.close();
  }

  #take(message: Msg): void {
    const { subject, headers } = message;
    const place = subject.slice(this.#subject.length + 1);
    if (!headers) this.#takePart(place, message);
    else if (headers.code === NO_RESPONDERS) this.#channels.get(place)?.nobodyThere();
    else this.#takeMessage(place, headers, message);
  }

  #takeMessage(channelId: string, headers: MsgHdrs, message: Msg): void {
    const decoded = decodeBusMessage(headers, channelId, this.#options.token);
    const channel = this.#channels.get(channelId);
    if (!decoded) this.#count("messages_refused_token");
    else if (channel) channel.take(decoded, message.data);
    // A beat comes again; a frame and a farewell do not.
    else if (decoded.kind === "frame" || decoded.kind === "bye") this.#hold(channelId, message);
  }

  /** A part of a frame that has begun: "<channel>.<frame>.<part>". */
  #takePart(place: string, message: Msg): void {
    const [, channelId = "", frame, part] = PART_PLACE.exec(place) ?? [];
    const channel = this.#channels.get(channelId);
    if (channel) channel.takePart(Number(frame), Number(part), message.data);
    else if (this.#held.has(channelId)) this.#hold(channelId, message);
    else this.#count("messages_refused_unjoined");
  }

  #hold(channelId: string, message: Msg): void {
    if (!this.#held.hold(channelId, message)) this.#count("messages_refused_unjoined");
  }

  #count(what: NatsBusCount): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
    if (/refused|dropped/.test(what)) this.#options.onRefused?.(what);
  }
}
