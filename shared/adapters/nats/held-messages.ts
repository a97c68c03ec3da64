/** @file What a partner sent before our side joined the channel: kept for a while, within bounds. */
import type { CancelTimer, Clock } from "../../ports/clock.js";
import type { Msg } from "./nats-client.js";

/** How long a channel may wait to be joined. */
const WAIT_MS_MAX = 10_000;
/** Channels that wait; a node takes part in one pair at a time. */
const CHANNELS_MAX = 16;
/** Of all of them; a frame that finds no room is asked for after the join. */
const BYTES_MAX = 64 * 1024 * 1024;

interface Held {
  readonly messages: Msg[];
  readonly cancelDeadline: CancelTimer;
}

export class HeldMessages {
  readonly #clock: Clock;
  readonly #channels = new Map<string, Held>();
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has(channelId: string): boolean {
    return this.#channels.has(channelId);
  }

  /** @returns whether there was room */
  hold(channelId: string, message: Msg): boolean {
    const isFull = !this.has(channelId) && this.#channels.size >= CHANNELS_MAX;
    if (isFull || this.#bytes + message.data.length > BYTES_MAX) return false;
    let held = this.#channels.get(channelId);
    if (!held) {
      const cancelDeadline = this.#clock.after(WAIT_MS_MAX, () => void this.take(channelId));
      held = { messages: [], cancelDeadline };
      this.#channels.set(channelId, held);
    }
    held.messages.push(message);
    this.#bytes += message.data.length;
    return true;
  }

  /** Gives what is held for a channel, in the order in which it came, and forgets it. */
  take(channelId: string): readonly Msg[] {
    const held = this.#channels.get(channelId);
    if (!held) return [];
    this.#channels.delete(channelId);
    held.cancelDeadline();
    for (const { data } of held.messages) this.#bytes -= data.length;
    return held.messages;
  }

  clear(): void {
    for (const channelId of [...this.#channels.keys()]) this.take(channelId);
  }
}
