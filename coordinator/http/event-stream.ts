/**
 * @file Server-sent events that no reader can pile up: events are made when they can be sent, so a
 * slow reader gets the newest state and not every one, and one that does not read at all is cut.
 *
 * @source HTML Living Standard, 9.2 Server-sent events
 */
import type { ServerResponse } from "node:http";
import type { CancelTimer, Clock } from "../../shared/ports/clock.js";

export interface ServerEvent {
  readonly event: string;
  /** What a reader sends back as Last-Event-ID. */
  readonly id: string;
  readonly data: unknown;
}

/** Where events come from: asked for one whenever there is room, until it has none. */
export interface EventSource {
  /** The next event; null: nothing new; "end": there will never be another. */
  next(): ServerEvent | null | "end";
  /** Resolves once what `next` gave is durable: nothing is told that a crash would take back. */
  settled(): Promise<void>;
  /** Calls back when there may be something new. */
  listen(wake: () => void): () => void;
}

/** Progress comes many times a second; people need to see a few of those. */
const EVENTS_EVERY_MS = 150;
/** A comment this often keeps proxies from closing a quiet stream. */
const KEEP_ALIVE_MS = 15_000;
/** A reader that takes nothing for this long is cut; it can come back with Last-Event-ID. */
const STALLED_MS = 30_000;
/** How long a reader waits before it comes back. */
const RETRY_MS = 1_000;

/** Streams events until the source or the reader ends. */
export function serveEvents(response: ServerResponse, source: EventSource, clock: Clock): void {
  response.writeHead(200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    // A proxy that collects an answer before it passes it on would hold every event back.
    "X-Accel-Buffering": "no",
  });
  response.write(`retry: ${RETRY_MS}\n\n`);
  new EventStream(response, source, clock).start();
}

class EventStream {
  readonly #response: ServerResponse;
  readonly #source: EventSource;
  readonly #clock: Clock;
  #isBlocked = false;
  #isFlushing = false;
  #isWanted = false;
  #cancelFlush: CancelTimer | null = null;
  #cancelKeepAlive: CancelTimer = () => {};
  #cancelStalled: CancelTimer = () => {};
  #unlisten = () => {};

  constructor(response: ServerResponse, source: EventSource, clock: Clock) {
    this.#response = response;
    this.#source = source;
    this.#clock = clock;
  }

  start(): void {
    this.#response.on("drain", () => {
      this.#isBlocked = false;
      this.#cancelStalled();
      this.#flush();
    });
    this.#response.on("close", () => this.#stop());
    this.#unlisten = this.#source.listen(() => this.#wake());
    this.#keepAlive();
    this.#flush();
  }

  #wake(): void {
    this.#cancelFlush ??= this.#clock.after(EVENTS_EVERY_MS, () => {
      this.#cancelFlush = null;
      this.#flush();
    });
  }

  /** One at a time; what comes up meanwhile is looked for again. */
  #flush(): void {
    this.#isWanted = true;
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    this.#sendAll().then(
      () => {
        this.#isFlushing = false;
        if (this.#isWanted) this.#flush();
      },
      // What was to be told will never be durable.
      () => this.#response.destroy(),
    );
  }

  async #sendAll(): Promise<void> {
    this.#isWanted = false;
    while (!this.#isBlocked && !this.#response.writableEnded && !this.#response.destroyed) {
      const next = this.#source.next();
      if (next === null) return;
      await this.#source.settled();
      if (next === "end") {
        this.#response.end();
        return;
      }
      const { event, id, data } = next;
      this.#write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
    }
  }

  #write(text: string): void {
    this.#isBlocked = !this.#response.write(text);
    if (!this.#isBlocked) return;
    this.#cancelStalled();
    this.#cancelStalled = this.#clock.after(STALLED_MS, () => this.#response.destroy());
  }

  #keepAlive(): void {
    this.#cancelKeepAlive = this.#clock.after(KEEP_ALIVE_MS, () => {
      if (!this.#isBlocked) this.#write(": still here\n\n");
      this.#keepAlive();
    });
  }

  #stop(): void {
    this.#unlisten();
    this.#cancelFlush?.();
    this.#cancelKeepAlive();
    this.#cancelStalled();
  }
}
