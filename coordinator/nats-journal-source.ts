/** @file Leads a farm on NATS again and again: one connection, a new lease and a new journal each time. */
import { JetStreamJournal } from "../shared/adapters/nats/jetstream-journal.js";
import { JetStreamTail } from "../shared/adapters/nats/jetstream-tail.js";
import type { NatsClient } from "../shared/adapters/nats/nats-client.js";
import { NatsLease } from "../shared/adapters/nats/nats-lease.js";
import type { NatsLocation } from "../shared/adapters/nats/nats-location.js";
import { type OpenNatsOptions, openNats } from "../shared/adapters/nats/open-nats.js";
import { FarmError } from "../shared/core/errors.js";
import type { BlobStore } from "../shared/ports/blob-store.js";
import type { Clock } from "../shared/ports/clock.js";
import type { Log } from "../shared/ports/log.js";
import type { JournalSource } from "./open-journal.js";
import type { Term } from "./shell/leadership.js";
import { type Followed, Standby } from "./shell/standby.js";

/** How often a standby asks for the lease, and an unreachable server is asked again. */
const ASK_MS = 1_000;

interface SourceOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly holder: string;
}

export class NatsJournalSource implements JournalSource {
  readonly canStandBy = true;
  readonly #client: NatsClient;
  readonly #names: NatsLocation["names"];
  readonly #replicas: number;
  readonly #options: SourceOptions;
  #hasLed = false;
  /** The newest; over whenever another one is asked for. */
  #lease: NatsLease | null = null;
  #closed = false;

  private constructor(client: NatsClient, location: NatsLocation, options: SourceOptions) {
    this.#client = client;
    this.#names = location.names;
    this.#replicas = location.replicas;
    this.#options = options;
  }

  /** @throws what `openNats` throws */
  static async open(
    url: string,
    options: SourceOptions & Omit<OpenNatsOptions, "flag">,
  ): Promise<NatsJournalSource> {
    const who = { role: "coordinator", name: options.holder } as const;
    const { client, location } = await openNats(url, who, { ...options, flag: "--journal" });
    return new NatsJournalSource(client, location, options);
  }

  async lead(blobs: BlobStore, onStandby: (heldBy: string) => void): Promise<Term> {
    const parts = { ...this.#options, client: this.#client, names: this.#names, blobs };
    const limits = { replicas: this.#replicas };
    let standby: Standby<JetStreamTail> | null = null;
    try {
      const lease = await this.#waitForLease((heldBy) => {
        standby = new Standby({ ...parts, openTail: () => JetStreamTail.open(parts) });
        onStandby(heldBy);
      });
      const followed = await stopped(standby);
      try {
        const reading = followed?.tail.reading ?? null;
        const journal = await JetStreamJournal.open({ ...parts, lease, limits, followed: reading });
        this.#hasLed = true;
        return { journal, followed };
      } catch (error) {
        await lease.release();
        throw error;
      }
    } finally {
      await stopped(standby);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#client.close();
  }

  async #waitForLease(onStandby: (heldBy: string) => void): Promise<NatsLease> {
    const { clock, log } = this.#options;
    let isStandby = false;
    while (!this.#closed) {
      const taken = await this.#ask();
      if (taken instanceof NatsLease) {
        this.#lease = taken;
        return taken;
      }
      if (!isStandby && taken !== null) {
        isStandby = true;
        log.info(`farm ${this.#names.farm} is led by ${taken.heldBy}; waiting as a standby`);
        onStandby(taken.heldBy);
      }
      await new Promise<void>((resolve) => void clock.after(ASK_MS, resolve));
    }
    throw new FarmError("cancelled", "the coordinator stops");
  }

  /** Null: the server does not answer, and this coordinator has led before, so it waits. */
  async #ask(): Promise<NatsLease | { readonly heldBy: string } | null> {
    const { log } = this.#options;
    try {
      const farm = { client: this.#client, names: this.#names, replicas: this.#replicas };
      return await NatsLease.take({ ...this.#options, ...farm, before: this.#lease });
    } catch (error) {
      if (!this.#hasLed || !(error instanceof FarmError)) throw error;
      log.warn(error.detail);
      return null;
    }
  }
}

async function stopped(
  standby: Standby<JetStreamTail> | null,
): Promise<Followed<JetStreamTail> | null> {
  return (await standby?.stop()) ?? null;
}
