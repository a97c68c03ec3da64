/**
 * @file The node's end of its stream to the coordinator: dials, greets, beats, and dials again.
 *
 * A node may only work while the coordinator counts on it. So when the stream ends, or nothing was
 * heard for the lease, the node fences itself: `onDown` is to stop all work, and only then it dials
 * again. It dials for ever; a farm whose coordinator restarts needs nobody to restart the nodes.
 *
 * A process that was stopped (SIGSTOP) for longer than its lease wakes to whatever comes first: a
 * timer, an order, a result. So nothing is read or sent before a look at the clock, and what finds
 * the lease run out fences first.
 *
 * A stream lives as long as the certificate that it was opened with. So when the files have changed a
 * second stream is dialled with them, and takes the first one's place: what the node sends goes there
 * from its welcome on, and what comes there is read once the first was read to its end. Nothing is lost
 * or overtaken by that; should either stream break meanwhile, the node fences itself as ever.
 */
import {
  ConnectRequest,
  type ConnectResponse,
} from "../../proto/gen/renderfarm/v1/node_service.js";
import { CONTROL_MESSAGE_BYTES_MAX } from "../../shared/adapters/grpc/connection-options.js";
import {
  decodeNodeOrder,
  encodeNodeMessage,
  type NodeIdentity,
  type NodeMessage,
  type NodeOrder,
} from "../../shared/adapters/grpc/node-codec.js";
import type { TlsFiles } from "../../shared/adapters/tls/tls-files.js";
import { assert, assertNever } from "../../shared/core/assert.js";
import { asFarmError } from "../../shared/core/errors.js";
import type { TaskReport } from "../../shared/farm/work.js";
import type { CancelTimer, Clock } from "../../shared/ports/clock.js";
import {
  type Dial,
  dropDial,
  finishDial,
  type Lease,
  openDial,
  stopTimers,
} from "./node-link-dial.js";

/** An order about tasks. */
export type TaskOrder = Extract<
  NodeOrder,
  { kind: "assign" | "cancel" | "yield" | "continue-alone" }
>;

export interface NodeLinkOptions {
  /** host:port of each coordinator; one leads, the others do not listen. */
  readonly addresses: readonly string[];
  readonly identity: NodeIdentity;
  readonly clock: Clock;
  /** Null, the default: the coordinator is on this machine. */
  readonly tls?: TlsFiles | null;
  /** 0..1, spreads the dials of many nodes after a restart of the coordinator. */
  readonly random: () => number;
  /** The coordinator has welcomed this node. */
  readonly onUp: () => void;
  readonly onOrder: (order: TaskOrder) => void;
  /**
   * The coordinator no longer counts on this node: all work is to stop. Comes after every dial that
   * fails, too; `wasUp` tells whether this one had been welcomed.
   */
  readonly onDown: (reason: string, wasUp: boolean) => void;
  /** The stream goes on under the newest certificate; or it does not yet, and why. */
  readonly onRenewal?: (failure: string | null) => void;
}

/** From the dial to the welcome. */
const WELCOME_MS_MAX = 10_000;
const BACKOFF_MS_MIN = 200;
const BACKOFF_MS_MAX = 5_000;
/** Messages that wait while the stream does not take more; a coordinator that is stuck, not slow. */
const UNSENT_MAX = 1_000;
/** A renewal that failed is tried again; at least half of this later. */
const RENEWAL_MS = 5_000;

export class NodeLink {
  readonly #options: NodeLinkOptions;
  #dial: Dial | null = null;
  /** Dialled with newer files than the present one, and not welcomed yet. */
  #renewal: Dial | null = null;
  #cancelRenewal: CancelTimer = () => {};
  #forgetFiles: () => void = () => {};
  #cancelRedial: CancelTimer = () => {};
  /** Which of the addresses is dialled. */
  #turn = 0;
  /** Dials in a row that no welcome answered. */
  #failures = 0;
  #closed = false;
  /** Set once this node will stop; called when there is no coordinator to stop in order with. */
  #onAlone: (() => void) | null = null;

  constructor(options: NodeLinkOptions) {
    this.#options = options;
  }

  /** Begins to dial. */
  start(): void {
    this.#forgetFiles = this.#options.tls?.onChange(() => this.#renew()) ?? (() => {});
    this.#dialNow();
  }

  /** Sends a report, unless this node no longer is welcome: then its work is void anyway. */
  report(taskId: string, epoch: number, report: TaskReport): void {
    const dial = this.#dial;
    if (!dial || !this.holdsLease()) return;
    if (report.kind === "ending" && !dial.lease?.takesEndings) return;
    const message: NodeMessage = { kind: "report", taskId, epoch, report };
    const bytes = ConnectRequest.encode(encodeNodeMessage(message)).finish().length;
    if (bytes <= CONTROL_MESSAGE_BYTES_MAX) {
      this.#send(dial, message);
      return;
    }
    // Too long for the stream, which it would end: a failure that no retry helps.
    const detail = `a report of ${bytes} bytes exceeds ${CONTROL_MESSAGE_BYTES_MAX}; choose an output format of fewer files`;
    const failed: TaskReport = { kind: "failed", code: "invalid-argument", detail };
    this.#send(dial, { ...message, report: failed });
  }

  /** Shows what a clip looks like; nothing is sent where the stream does not keep up. */
  preview(taskId: string, epoch: number, step: number, image: Uint8Array): void {
    const dial = this.#dial;
    if (!dial || dial.unsent || !this.holdsLease()) return;
    this.#send(dial, { kind: "preview", taskId, epoch, step, image });
  }

  /**
   * Whether the coordinator counts on this node now; a lease that has run out ends here. Whoever is
   * about to act for a task asks first.
   */
  holdsLease(): boolean {
    const dial = this.#dial;
    if (!dial?.lease) return false;
    if (this.#isExpired(dial)) this.#endLease(dial);
    return this.#dial === dial;
  }

  /**
   * Tells the coordinator that this node will stop: no new work, please. Orders for the work at hand
   * still come, until `leave` or `close`.
   *
   * @returns resolves when there is no coordinator that counts on this node, maybe at once; it is
   *   not dialled again
   */
  stopping(): Promise<void> {
    const alone = new Promise<void>((resolve) => {
      this.#onAlone = resolve;
    });
    if (this.#dial && this.holdsLease()) this.#send(this.#dial, { kind: "stopping" });
    else this.#onAlone?.();
    return alone;
  }

  /** Ends the stream behind all that is still to be sent; nothing is called back from here on. */
  leave(): void {
    this.#closed = true;
    this.#dropRenewal();
    if (this.#dial) finishDial(this.#dial);
  }

  /** Ends the stream at once and dials no more; nothing is called back from here on. */
  close(): void {
    this.#closed = true;
    this.#cancelRedial();
    this.#forgetFiles();
    if (this.#dial) this.#drop(this.#dial);
  }

  #dialNow(): void {
    const dial = this.#open();
    this.#dial = dial;
    this.#send(dial, { kind: "hello", identity: this.#options.identity });
  }

  /** Dials again where the present stream was opened with files that have changed since. */
  #renew(): void {
    const { tls, identity } = this.#options;
    const dial = this.#dial;
    if (this.#closed || !tls || !dial?.lease || dial.older || this.#renewal) return;
    if (dial.tls === tls.current) return;
    this.#cancelRenewal();
    this.#renewal = this.#open();
    this.#send(this.#renewal, {
      kind: "renewal",
      nodeId: identity.nodeId,
      bootId: identity.bootId,
    });
  }

  /** Every dial shows the newest certificate. */
  #open(): Dial {
    const { addresses, clock, tls } = this.#options;
    const address = addresses[this.#turn % addresses.length] ?? "";
    const dial = openDial(address, tls?.current ?? null, clock.nowMs());
    dial.stream.on("data", (order: ConnectResponse) => this.#take(dial, order));
    dial.stream.on("error", (error: Error) => this.#end(dial, error.message));
    dial.stream.on("end", () => {
      if (this.#dial?.older === dial) this.#endRenewal(this.#dial);
      else this.#end(dial, "the coordinator ended the stream");
    });
    dial.cancelDeadline = clock.after(WELCOME_MS_MAX, () =>
      this.#end(dial, `no welcome within ${WELCOME_MS_MAX} ms`),
    );
    return dial;
  }

  #take(dial: Dial, wire: ConnectResponse): void {
    const present = this.#dial;
    if (!present || ![present, present.older, this.#renewal].includes(dial)) return;
    // A process that was stopped for longer than its lease reads old orders when it wakes.
    if (this.#isExpired(present)) {
      this.#endLease(present);
      return;
    }
    dial.lastHeardMs = this.#options.clock.nowMs();
    let order: NodeOrder;
    try {
      order = decodeNodeOrder(wire);
    } catch (error) {
      this.#end(dial, `an order that is none: ${asFarmError(error).detail}`);
      return;
    }
    if (dial.lease === null && order.kind !== "welcome") {
      this.#end(dial, `${order.kind} before the welcome`);
      return;
    }
    switch (order.kind) {
      case "welcome":
        this.#welcome(dial, order);
        return;
      case "heartbeat-ack":
        return;
      case "assign":
      case "cancel":
      case "yield":
      case "continue-alone":
        this.#options.onOrder(order);
        return;
      default:
        assertNever(order);
    }
  }

  #welcome(dial: Dial, lease: Lease): void {
    if (dial.lease) return;
    dial.lease = lease;
    this.#failures = 0;
    dial.cancelDeadline();
    this.#watchLease(dial, lease.leaseMs);
    this.#beat(dial, lease.heartbeatMs);
    if (dial === this.#renewal) {
      this.#beginRenewal(dial);
      return;
    }
    this.#options.onUp();
    // The files may have changed since the dial.
    this.#renew();
  }

  /** What is sent from here on goes by the newer stream; what comes by the older one comes first. */
  #beginRenewal(dial: Dial): void {
    const older = this.#dial;
    assert(older, "a renewal to have a stream to follow");
    this.#renewal = null;
    this.#dial = dial;
    dial.older = older;
    dial.stream.pause();
    stopTimers(older);
    finishDial(older);
  }

  /** All that came by the older stream was read. */
  #endRenewal(dial: Dial): void {
    const { older } = dial;
    dial.older = null;
    if (older) dropDial(older);
    dial.stream.resume();
    if (this.#closed) return;
    this.#options.onRenewal?.(null);
    this.#renew();
  }

  /** The present stream stands while its certificate does. */
  #failRenewal(reason: string): void {
    this.#dropRenewal();
    this.#options.onRenewal?.(reason);
    const delayMs = RENEWAL_MS * (0.5 + this.#options.random() / 2);
    this.#cancelRenewal = this.#options.clock.after(delayMs, () => this.#renew());
  }

  #dropRenewal(): void {
    this.#cancelRenewal();
    if (this.#renewal) dropDial(this.#renewal);
    this.#renewal = null;
  }

  #beat(dial: Dial, heartbeatMs: number): void {
    dial.cancelHeartbeat = this.#options.clock.after(heartbeatMs, () => {
      this.#send(dial, { kind: "heartbeat" });
      if (this.#dial === dial) this.#beat(dial, heartbeatMs);
    });
  }

  /** Looks again when the lease would end if nothing more were heard. */
  #watchLease(dial: Dial, leaseMs: number): void {
    const { clock } = this.#options;
    const leftMs = dial.lastHeardMs + leaseMs - clock.nowMs();
    dial.cancelDeadline = clock.after(leftMs, () => {
      if (this.#isExpired(dial)) this.#endLease(dial);
      else this.#watchLease(dial, leaseMs);
    });
  }

  #isExpired({ lease, lastHeardMs }: Dial): boolean {
    return lease !== null && this.#options.clock.nowMs() - lastHeardMs >= lease.leaseMs;
  }

  #endLease(dial: Dial): void {
    this.#end(dial, `nothing was heard for ${dial.lease?.leaseMs} ms`);
  }

  #send(dial: Dial, message: NodeMessage): void {
    if (this.#closed) return;
    if (this.#isExpired(dial)) {
      this.#endLease(dial);
      return;
    }
    if (dial.unsent) {
      if (dial.unsent.length >= UNSENT_MAX) this.#end(dial, `${UNSENT_MAX} messages wait`);
      else dial.unsent.push(message);
      return;
    }
    if (dial.stream.write(encodeNodeMessage(message))) return;
    dial.unsent = [];
    dial.stream.once("drain", () => {
      const waiting = dial.unsent ?? [];
      dial.unsent = null;
      for (const next of waiting) if (this.#dial === dial) this.#send(dial, next);
    });
  }

  /** The first of several reasons counts. */
  #end(dial: Dial, reason: string): void {
    if (dial === this.#renewal) {
      this.#failRenewal(reason);
      return;
    }
    if (this.#dial === null || (dial !== this.#dial && dial !== this.#dial.older)) return;
    this.#drop(this.#dial);
    this.#turn += 1;
    if (!this.#closed) this.#options.onDown(reason, dial.lease !== null);
    this.#onAlone?.();
    if (this.#closed || this.#onAlone) return;
    const ceilingMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** this.#failures);
    this.#failures += 1;
    // At least half of it, so that no node dials in a tight loop.
    const delayMs = ceilingMs * (0.5 + this.#options.random() / 2);
    this.#cancelRedial = this.#options.clock.after(delayMs, () => this.#dialNow());
  }

  #drop(dial: Dial): void {
    this.#dial = null;
    this.#dropRenewal();
    dropDial(dial);
  }
}
