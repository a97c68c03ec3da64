/**
 * @file Who leads a farm: one key in a KV bucket whose entries vanish after the lease's time.
 *
 * The server counts from when it took a renewal in; the holder counts from before it sent it, on a
 * clock that never jumps, and gives up a margin earlier. So a holder that is cut off stops before
 * anybody else can begin. What fences in the end is the journal: it takes an append only from
 * whoever knows its last one.
 */
import { assert } from "../../core/assert.js";
import { FarmError } from "../../core/errors.js";
import type { CancelTimer, Clock } from "../../ports/clock.js";
import type { Log } from "../../ports/log.js";
import {
  jetStreamCode,
  type KV,
  type NatsClient,
  StorageType,
  unreachable,
} from "./nats-client.js";
import { type FarmNames, leaseBucket } from "./nats-names.js";

const KEY = "leader";
const WRONG_LAST_SEQUENCE = 10_071;
const LEASE_MS = 10_000;
/** Of the lease: how often it is renewed, and how long before its end the holder stops. */
const RENEWALS_PER_LEASE = 5;
/**
 * Of the lease: how soon a renewal that failed is tried again. While servers elect who leads the
 * bucket, which may take most of a lease, they refuse at once; the first moment after it counts.
 */
const TRIES_PER_LEASE = 40;
const MARGIN_PART = 0.2;

export interface LeaseOptions {
  readonly client: NatsClient;
  readonly names: FarmNames;
  /**
   * Who asks, 1 or more characters; no other start of a process has the same: by it a holder knows a
   * renewal of its own whose answer was lost.
   */
  readonly holder: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Servers that keep a copy of it; 1 unless told. */
  readonly replicas?: number;
  /** The lease that this process has had and lost: where it still stands, it is taken over at once. */
  readonly before?: NatsLease | null;
  /** How long a lease lasts without a renewal; 10 s unless told. */
  readonly leaseMs?: number;
}

export class NatsLease {
  readonly #options: LeaseOptions;
  readonly #leaseMs: number;
  readonly #bucket: KV;
  #revision: number;
  /** Past this the lease may be somebody else's. */
  #endMs: number;
  #isOver = false;
  #isInTrouble = false;
  #onLost: (reason: string) => void = () => {};
  #cancelRenewal: CancelTimer = () => {};
  #cancelEnd: CancelTimer = () => {};

  private constructor(
    options: LeaseOptions,
    bucket: KV,
    held: { revision: number; sentMs: number },
  ) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? LEASE_MS;
    this.#bucket = bucket;
    this.#revision = held.revision;
    this.#endMs = 0;
    this.#extend(held.sentMs);
    this.#renewLater();
  }

  /**
   * Takes the lease where it is free, or still this process's own.
   *
   * @returns the holder's name where it is not
   * @throws FarmError "unreachable"
   */
  static async take(options: LeaseOptions): Promise<NatsLease | { readonly heldBy: string }> {
    const { client, names, holder, clock, leaseMs = LEASE_MS } = options;
    assert(!options.before?.isHeld, "a lease of before that is over");
    try {
      const views = client.jetstream(leaseMs / RENEWALS_PER_LEASE).views;
      const bucket = await views.kv(leaseBucket(names), {
        ttl: leaseMs,
        history: 1,
        replicas: options.replicas ?? 1,
        storage: StorageType.File,
        allow_direct: false,
      });
      const sentMs = clock.nowMs();
      try {
        const revision = await bucket.create(KEY, holder);
        return new NatsLease(options, bucket, { revision, sentMs });
      } catch (error) {
        if (jetStreamCode(error) !== WRONG_LAST_SEQUENCE) throw error;
        return await NatsLease.#takeAgain(options, bucket);
      }
    } catch (error) {
      throw unreachable(`the lease of farm ${names.farm} cannot be taken`, error);
    }
  }

  /**
   * Our own of before may be kept alive by renewals that were still on their way when it was lost.
   * Nobody else leads while it stands, and it is taken from the very revision that was looked at: of
   * a late renewal and this, the server takes one.
   */
  static async #takeAgain(
    options: LeaseOptions,
    bucket: KV,
  ): Promise<NatsLease | { readonly heldBy: string }> {
    const { holder, clock, before } = options;
    for (;;) {
      const entry = await bucket.get(KEY);
      const isOurs = before && entry?.string() === holder && entry.revision >= before.#revision;
      if (!isOurs) return { heldBy: entry?.string() || "another coordinator" };
      const sentMs = clock.nowMs();
      try {
        const revision = await bucket.update(KEY, holder, entry.revision);
        return new NatsLease(options, bucket, { revision, sentMs });
      } catch (error) {
        if (jetStreamCode(error) !== WRONG_LAST_SEQUENCE) throw error;
      }
    }
  }

  /** Whether this process leads now; a lease that has run out ends here. */
  get isHeld(): boolean {
    if (!this.#isOver && this.#options.clock.nowMs() >= this.#endMs) {
      this.#lose(`it could not be renewed for ${this.#heldMs} ms`);
    }
    return !this.#isOver;
  }

  /** How long the holder leads without a renewal. */
  get #heldMs(): number {
    return this.#leaseMs * (1 - MARGIN_PART);
  }

  /** Sets who hears, at most once, that the lease is lost; not called after `release`. */
  set onLost(callback: (reason: string) => void) {
    this.#onLost = callback;
  }

  /** Gives the lease back, so that a standby need not wait for its end. */
  async release(): Promise<void> {
    if (this.#isOver) return;
    this.#end();
    // Whoever waits takes over at the end of the lease if this does not arrive.
    await this.#bucket.delete(KEY, { previousSeq: this.#revision }).catch(() => {});
  }

  /** @param perLease how often in a lease's time */
  #renewLater(perLease = RENEWALS_PER_LEASE): void {
    const delayMs = this.#leaseMs / perLease;
    this.#cancelRenewal = this.#options.clock.after(delayMs, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    if (!this.isHeld) return;
    const { holder, clock } = this.#options;
    const sentMs = clock.nowMs();
    try {
      this.#revision = await this.#bucket.update(KEY, holder, this.#revision);
      if (this.#isOver) return;
      this.#extend(sentMs);
      this.#noteTrouble(null);
      this.#renewLater();
    } catch (error) {
      if (this.#isOver) return;
      this.#noteTrouble((error as Error).message);
      if (jetStreamCode(error) === WRONG_LAST_SEQUENCE) await this.#look();
      if (!this.#isOver) this.#renewLater(TRIES_PER_LEASE);
    }
  }

  /** Logs the first renewal that failed, and the first one after it. */
  #noteTrouble(reason: string | null): void {
    const { log } = this.#options;
    if (reason !== null && !this.#isInTrouble) log.warn(`the lease was not renewed: ${reason}`);
    if (reason === null && this.#isInTrouble) log.info("the lease is renewed again");
    this.#isInTrouble = reason !== null;
  }

  /** A renewal whose answer was lost has moved the revision on; or somebody else leads. */
  async #look(): Promise<void> {
    try {
      const entry = await this.#bucket.get(KEY);
      if (entry?.string() === this.#options.holder) this.#revision = entry.revision;
      else this.#lose(entry?.length ? `${entry.string()} has it` : "it has run out");
    } catch {
      // Not known: the end of the lease decides.
    }
  }

  #extend(sentMs: number): void {
    const { clock } = this.#options;
    this.#endMs = sentMs + this.#heldMs;
    this.#cancelEnd();
    this.#cancelEnd = clock.after(Math.max(0, this.#endMs - clock.nowMs()), () => void this.isHeld);
  }

  #lose(reason: string): void {
    if (this.#isOver) return;
    this.#end();
    this.#onLost(`the lease is lost: ${reason}`);
  }

  #end(): void {
    this.#isOver = true;
    this.#cancelRenewal();
    this.#cancelEnd();
  }
}

/** The error of whoever needed the lease at once. */
export function leaseHeld(names: FarmNames, heldBy: string): FarmError {
  const text = `farm ${names.farm} is led by ${heldBy}; stop it, or wait as a standby`;
  return new FarmError("wrong-state", text);
}
