/**
 * @file The tensor bus: a channel a pair and grant, one ordered pipe each way, and old frames that
 * come again.
 */
import type { FrameFacts } from "../../gpu-node/agent/denoise-state.js";
import type { Partner } from "../../shared/farm/work.js";
import type { Network, Pipe } from "./network.js";
import type { SimProcess } from "./process.js";
import type { Random } from "./random.js";
import type { Timeline } from "./timeline.js";

/** A half on its way, with what it was truly computed from. */
export interface Frame {
  readonly facts: FrameFacts;
  readonly payload: Half;
}

/** The tensor of one half, as its digest, and where it comes from. */
export interface Half {
  readonly content: string;
  readonly taskId: string;
  /** Grant under which it was sent or computed. */
  readonly epoch: number;
  /** Step and latents that went into it. */
  readonly step: number;
  readonly latents: string;
}

export interface ChannelEvents {
  readonly onFrame: (frame: Frame) => void;
  readonly onLost: (reason: string) => void;
}

/** A node as its bus sees it. */
export interface BusHost {
  readonly nodeId: string;
  readonly busToken: string;
  readonly process: SimProcess;
}

interface Channel {
  readonly id: string;
  readonly host: BusHost;
  readonly partnerId: string;
  readonly events: ChannelEvents;
  readonly pipe: Pipe;
  /** Frames that came before this side joined wait with the partner. */
  readonly unjoined: Frame[];
  ended: boolean;
}

/** Frames that can come again. */
const RECORDED_MAX = 200;
/** How long what a partner sends waits for our side to join. */
const JOIN_MS_MAX = 10_000;

export class SimBus {
  /** Share of frames that come once more, later. */
  duplicated = 0;
  /** So many of the frames sent next arrive with another bit. */
  flips = 0;
  /** Hears of every frame that was not what had been sent. */
  onFlipped: () => void = () => {};
  readonly #hosts = new Map<string, BusHost>();
  readonly #channels = new Map<string, Channel>();
  readonly #recorded: { readonly to: string; readonly frame: Frame }[] = [];
  readonly #network: Network;
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #checks: boolean;
  /** Where a frame that came again ends up: at whatever works on its task now. */
  #onReplay: (nodeId: string, frame: Frame) => void = () => {};

  /** @param checks whether a frame with another bit is dropped where it arrives */
  constructor(network: Network, timeline: Timeline, random: Random, checks: boolean) {
    this.#checks = checks;
    this.#network = network;
    this.#timeline = timeline;
    this.#random = random;
  }

  register(host: BusHost): void {
    this.#hosts.set(host.nodeId, host);
  }

  set onReplay(replay: (nodeId: string, frame: Frame) => void) {
    this.#onReplay = replay;
  }

  join(
    host: BusHost,
    channelId: string,
    partner: Partner,
    events: ChannelEvents,
  ): { send(frame: Frame): void; close(): void } {
    const channel: Channel = {
      id: channelId,
      host,
      partnerId: partner.nodeId,
      events,
      pipe: this.#network.pipe(host.nodeId, partner.nodeId),
      unjoined: [],
      ended: false,
    };
    this.#channels.set(`${host.nodeId} ${channelId}`, channel);
    const other = this.#other(channel);
    const waiting = other?.unjoined.splice(0) ?? [];
    for (const frame of waiting) this.#deliver(channel, frame);
    this.#dial(channel, partner);
    if (this.duplicated > 0) this.#replayTo(channel);
    return {
      send: (frame) => this.#send(channel, frame),
      close: () => this.#close(channel),
    };
  }

  /** Both ends of every channel between two nodes are lost. */
  cut(a: string, b: string): void {
    for (const channel of [...this.#channels.values()]) {
      const ends = [channel.host.nodeId, channel.partnerId];
      if (ends.includes(a) && ends.includes(b)) this.#lose(channel, "cut");
    }
  }

  /** What was sent lately comes again, in any order. */
  replayAll(): void {
    for (const { to, frame } of this.#recorded) this.#replay(to, frame, this.#random.unit() * 500);
  }

  /** What was sent under earlier grants of the same task comes again to a pair that has just formed. */
  #replayTo({ id, host }: Channel): void {
    const taskId = id.slice(0, id.lastIndexOf("."));
    for (const { to, frame } of this.#recorded) {
      if (to !== host.nodeId || frame.payload.taskId !== taskId) continue;
      this.#replay(to, frame, this.#random.unit() * 1_500);
    }
  }

  /** The sockets of a process end with it. */
  died(nodeId: string): void {
    for (const channel of [...this.#channels.values()]) {
      if (channel.host.nodeId === nodeId) this.#close(channel);
    }
  }

  #dial(channel: Channel, partner: Partner): void {
    channel.pipe.send(() => {
      const host = this.#hosts.get(partner.nodeId);
      const refused = !host?.process.alive || host.busToken !== partner.busToken;
      if (refused) this.#lose(channel, "refused");
    });
    this.#timeline.after(JOIN_MS_MAX, () => {
      if (!channel.ended && !this.#other(channel)) this.#lose(channel, "not joined");
    });
  }

  #send(channel: Channel, frame: Frame): void {
    if (channel.ended) return;
    this.#recorded.push({ to: channel.partnerId, frame });
    if (this.#recorded.length > RECORDED_MAX) this.#recorded.shift();
    const isFlipped = this.flips > 0;
    if (isFlipped) this.flips -= 1;
    const content = `${frame.payload.content}~`;
    const sent = isFlipped ? { ...frame, payload: { ...frame.payload, content } } : frame;
    channel.pipe.send(() => {
      if (isFlipped) this.onFlipped();
      if (isFlipped && this.#checks) return;
      const other = this.#other(channel);
      if (other) this.#deliver(other, sent);
      else channel.unjoined.push(sent);
    });
    if (!this.#random.chance(this.duplicated)) return;
    this.#replay(channel.partnerId, frame, this.#random.unit() ** 3 * 30_000);
  }

  #replay(nodeId: string, frame: Frame, delayMs: number): void {
    this.#timeline.after(delayMs, () => {
      const host = this.#hosts.get(nodeId);
      if (host?.process.alive) host.process.guard(() => this.#onReplay(nodeId, frame))();
    });
  }

  #deliver(to: Channel, frame: Frame): void {
    if (to.ended) return;
    to.host.process.guard(() => {
      if (!to.ended) to.events.onFrame(frame);
    })();
  }

  /** What was sent before arrives before. */
  #close(channel: Channel): void {
    if (channel.ended) return;
    this.#end(channel);
    const { id, partnerId } = channel;
    channel.pipe.send(() => {
      const other = this.#channels.get(`${partnerId} ${id}`);
      if (other) this.#lose(other, "closed");
    });
  }

  #lose(channel: Channel, reason: string): void {
    if (channel.ended) return;
    channel.host.process.guard(() => {
      if (channel.ended) return;
      this.#end(channel);
      channel.events.onLost(`node ${channel.partnerId} is lost: ${reason}`);
    })();
  }

  #end(channel: Channel): void {
    channel.ended = true;
    const key = `${channel.host.nodeId} ${channel.id}`;
    if (this.#channels.get(key) === channel) this.#channels.delete(key);
  }

  #other(channel: Channel): Channel | undefined {
    return this.#channels.get(`${channel.partnerId} ${channel.id}`);
  }
}
