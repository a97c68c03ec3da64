/**
 * @file TensorBus on NATS core: for nodes that do not reach each other, but reach one server.
 *
 * A half goes to the server once and from there to the partner once, as one message where the
 * server's `max_payload` allows. Every node has a subject of its own, and a token that is needed to
 * write to it.
 */
import { assert } from "../../core/assert.js";
import { FarmError } from "../../core/errors.js";
import type { Partner } from "../../farm/work.js";
import type { Clock } from "../../ports/clock.js";
import type { Log } from "../../ports/log.js";
import type { BusChannel, ChannelEvents, TensorBus } from "../../ports/tensor-bus.js";
import { decodeBusMessage } from "./bus-message.js";
import { type NatsBusCount, NatsChannel } from "./nats-channel.js";
import type { Msg, NatsClient } from "./nats-client.js";
import { busSubject } from "./nats-names.js";

const SCHEME = "nats:";
/** Below this a half would be hundreds of messages. */
const PAYLOAD_BYTES_MIN = 65_536;
/** A half of SVD-XT, with its header: one message from here on. */
const PAYLOAD_BYTES_ADVISED = 4_194_304;
const NO_RESPONDERS = 503;

export interface NatsBusOptions {
  readonly client: NatsClient;
  /** First token of the farm's subjects. */
  readonly prefix: string;
  readonly nodeId: string;
  /** Secret that a partner must know; at least 128 bits from a random source. */
  readonly token: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Hears of every message that came and was not taken. */
  readonly onRefused?: (what: NatsBusCount) => void;
}

export class NatsTensorBus implements TensorBus {
  /** How often each thing happened. */
  readonly counts = new Map<NatsBusCount, number>();
  readonly #options: NatsBusOptions;
  readonly #subject: string;
  readonly #channels = new Map<string, NatsChannel>();
  #unsubscribe: () => void = () => {};
  #stopWatching: () => void = () => {};

  private constructor(options: NatsBusOptions) {
    this.#options = options;
    this.#subject = busSubject(options, options.nodeId);
  }

  /**
   * Listens on the node's subject; partners can be heard when it resolves.
   *
   * @throws FarmError "invalid-argument" when the server's messages are too small
   */
  static async open(options: NatsBusOptions): Promise<NatsTensorBus> {
    const { client, log } = options;
    const bytesMax = client.payloadBytesMax;
    const advice = `set max_payload to 8MB in the NATS server's settings, which holds a half of SVD-XT`;
    if (bytesMax < PAYLOAD_BYTES_MIN) {
      const text = `the NATS server takes messages of ${bytesMax} bytes, and the tensor bus wants ${PAYLOAD_BYTES_MIN} at least; ${advice}`;
      throw new FarmError("invalid-argument", text);
    }
    if (bytesMax < PAYLOAD_BYTES_ADVISED) {
      log.warn(
        `the NATS server takes messages of ${bytesMax} bytes: large halves go in parts; ${advice}`,
      );
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
    await this.#options.client.close();
  }

  #take({ subject, headers, data }: Msg): void {
    const channelId = subject.slice(this.#subject.length + 1);
    const channel = this.#channels.get(channelId);
    if (headers?.code === NO_RESPONDERS) {
      channel?.nobodyThere();
      return;
    }
    const message = headers && decodeBusMessage(headers, channelId, this.#options.token);
    if (!message) this.#count("messages_refused_token");
    else if (channel) channel.take(message, data);
    else if (message.kind === "frame") this.#count("messages_refused_unjoined");
  }

  #count(what: NatsBusCount): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
    if (/refused|dropped/.test(what)) this.#options.onRefused?.(what);
  }
}
