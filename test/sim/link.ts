/** @file The node's end of its stream: dials, beats, fences itself. Mirrors `agent/node-link.ts`. */
import type { NodeMessage, NodeOrder } from "../../shared/adapters/grpc/node-codec.js";
import type { TaskReport } from "../../shared/farm/work.js";
import type { CancelTimer } from "../../shared/ports/clock.js";
import type { SimProcess } from "./process.js";
import type { Random } from "./random.js";
import type { NodeEnd, SimStream } from "./stream.js";

export interface LinkParts {
  readonly process: SimProcess;
  readonly random: Random;
  readonly dial: (end: NodeEnd) => SimStream;
  readonly hello: () => NodeMessage;
  readonly onOrder: (order: NodeOrder) => void;
  readonly onDown: (reason: string) => void;
}

const WELCOME_MS_MAX = 10_000;
const BACKOFF_MS_MIN = 200;
const BACKOFF_MS_MAX = 5_000;

interface Dial {
  stream: SimStream;
  lease: { readonly leaseMs: number; readonly heartbeatMs: number } | null;
  lastHeardMs: number;
  cancelDeadline: CancelTimer;
  cancelHeartbeat: CancelTimer;
}

export class SimLink {
  readonly #parts: LinkParts;
  #dial: Dial | null = null;
  #failures = 0;
  #stopping = false;

  /** Dials at once. One link a start of the process. */
  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.#dialNow();
  }

  get stream(): SimStream | null {
    return this.#dial?.stream ?? null;
  }

  report(taskId: string, epoch: number, report: TaskReport): void {
    if (this.holdsLease()) this.#send(this.#dial!, { kind: "report", taskId, epoch, report });
  }

  holdsLease(): boolean {
    const dial = this.#dial;
    if (!dial?.lease) return false;
    if (this.#isExpired(dial)) this.#endLease(dial);
    return this.#dial === dial;
  }

  /** @returns false when no coordinator counts on this node */
  stopping(): boolean {
    this.#stopping = true;
    if (!this.#dial || !this.holdsLease()) return false;
    this.#send(this.#dial, { kind: "stopping" });
    return true;
  }

  close(): void {
    this.#stopping = true;
    if (this.#dial) this.#drop(this.#dial);
  }

  #dialNow(): void {
    const { process, dial: open, hello } = this.#parts;
    const dial: Dial = {
      stream: null as never,
      lease: null,
      lastHeardMs: process.nowMs(),
      cancelDeadline: () => {},
      cancelHeartbeat: () => {},
    };
    dial.stream = open({
      onOrder: (order) => this.#take(dial, order),
      onEnd: (reason) => this.#end(dial, reason),
    });
    this.#dial = dial;
    dial.cancelDeadline = process.after(WELCOME_MS_MAX, () => this.#end(dial, "no welcome"));
    dial.stream.send(hello());
  }

  #take(dial: Dial, order: NodeOrder): void {
    if (this.#dial !== dial) return;
    if (this.#isExpired(dial)) {
      this.#endLease(dial);
      return;
    }
    dial.lastHeardMs = this.#parts.process.nowMs();
    if (order.kind === "welcome") this.#welcome(dial, order);
    else if (dial.lease === null) this.#end(dial, `${order.kind} before the welcome`);
    else if (order.kind !== "heartbeat-ack") this.#parts.onOrder(order);
  }

  #welcome(dial: Dial, lease: { leaseMs: number; heartbeatMs: number }): void {
    if (dial.lease) return;
    dial.lease = lease;
    this.#failures = 0;
    dial.cancelDeadline();
    this.#watchLease(dial, lease.leaseMs);
    this.#beat(dial, lease.heartbeatMs);
  }

  #beat(dial: Dial, heartbeatMs: number): void {
    dial.cancelHeartbeat = this.#parts.process.after(heartbeatMs, () => {
      this.#send(dial, { kind: "heartbeat" });
      if (this.#dial === dial) this.#beat(dial, heartbeatMs);
    });
  }

  #watchLease(dial: Dial, leaseMs: number): void {
    const { process } = this.#parts;
    const leftMs = dial.lastHeardMs + leaseMs - process.nowMs();
    dial.cancelDeadline = process.after(leftMs, () => {
      if (this.#isExpired(dial)) this.#endLease(dial);
      else this.#watchLease(dial, leaseMs);
    });
  }

  #isExpired({ lease, lastHeardMs }: Dial): boolean {
    return lease !== null && this.#parts.process.nowMs() - lastHeardMs >= lease.leaseMs;
  }

  #endLease(dial: Dial): void {
    this.#end(dial, `nothing was heard for ${dial.lease?.leaseMs} ms`);
  }

  #send(dial: Dial, message: NodeMessage): void {
    if (this.#isExpired(dial)) this.#endLease(dial);
    else dial.stream.send(message);
  }

  #end(dial: Dial, reason: string): void {
    if (this.#dial !== dial) return;
    this.#drop(dial);
    this.#parts.onDown(reason);
    if (this.#stopping) return;
    const ceilingMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** this.#failures);
    this.#failures += 1;
    const delayMs = ceilingMs * (0.5 + this.#parts.random.unit() / 2);
    this.#parts.process.after(delayMs, () => this.#dialNow());
  }

  #drop(dial: Dial): void {
    this.#dial = null;
    dial.cancelDeadline();
    dial.cancelHeartbeat();
    dial.stream.endByNode();
  }
}
