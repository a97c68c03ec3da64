/** @file The network: ordered pipes between named places, with delays, slow links and partitions. */
import type { Random } from "./random.js";
import { TICK_MS, type Timeline } from "./timeline.js";

export class Network {
  readonly #timeline: Timeline;
  readonly #random: Random;
  /** By "from>to": nothing arrives before this time. */
  readonly #blockedUntilMs = new Map<string, number>();
  readonly #slowUntilMs = new Map<string, { untilMs: number; delayMs: number }>();

  constructor(timeline: Timeline, random: Random) {
    this.#timeline = timeline;
    this.#random = random;
  }

  /** One way; what is sent meanwhile arrives afterwards, as TCP would send it again. */
  block(from: string, to: string, durationMs: number): void {
    this.#blockedUntilMs.set(`${from}>${to}`, this.#timeline.nowMs() + durationMs);
  }

  /** One way: up to `delayMs` more for each message. */
  slow(from: string, to: string, durationMs: number, delayMs: number): void {
    const untilMs = this.#timeline.nowMs() + durationMs;
    this.#slowUntilMs.set(`${from}>${to}`, { untilMs, delayMs });
  }

  isBlocked(from: string, to: string): boolean {
    return (this.#blockedUntilMs.get(`${from}>${to}`) ?? 0) > this.#timeline.nowMs();
  }

  heal(): void {
    this.#blockedUntilMs.clear();
    this.#slowUntilMs.clear();
  }

  /** When something sent now arrives. */
  arrivalMs(from: string, to: string): number {
    const nowMs = this.#timeline.nowMs();
    const link = `${from}>${to}`;
    const slow = this.#slowUntilMs.get(link);
    const extraMs = slow && slow.untilMs > nowMs ? this.#random.unit() * slow.delayMs : 0;
    const departsMs = Math.max(nowMs, this.#blockedUntilMs.get(link) ?? 0);
    return departsMs + 0.1 + this.#random.unit() + extraMs;
  }

  pipe(from: string, to: string): Pipe {
    return new Pipe(this, this.#timeline, from, to);
  }
}

/** One way of one connection: what is sent arrives in order, unless the connection is cut. */
export class Pipe {
  readonly #network: Network;
  readonly #timeline: Timeline;
  readonly #from: string;
  readonly #to: string;
  #lastMs = 0;
  #cut = false;

  constructor(network: Network, timeline: Timeline, from: string, to: string) {
    this.#network = network;
    this.#timeline = timeline;
    this.#from = from;
    this.#to = to;
  }

  /** @param deliver called at the other end */
  send(deliver: () => void): void {
    if (this.#cut) return;
    const arrivalMs = this.#network.arrivalMs(this.#from, this.#to);
    // Later by a tick than the message before, so that they keep their order.
    this.#lastMs = Math.max(Math.ceil(arrivalMs / TICK_MS) * TICK_MS, this.#lastMs + TICK_MS);
    this.#timeline.after(this.#lastMs - this.#timeline.nowMs(), () => {
      if (!this.#cut) deliver();
    });
  }

  /** What is under way is lost. */
  cut(): void {
    this.#cut = true;
  }
}
