/**
 * @file Leads, and stands by: opens the journal when it may, runs a coordinator on it, and begins
 * anew when leadership is lost.
 *
 * Whatever breaks a journal that others may lead ends the coordinator on it: its calls and streams
 * are closed, so that nodes fence themselves and dial whoever leads now. The farm is then read from
 * the journal again, as at any start: what is in memory may be ahead of it. A journal that only this
 * process has breaks down for good, and the process with it.
 */
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import type { Journal } from "../../shared/ports/journal.js";
import type { Log } from "../../shared/ports/log.js";
import type { Recovered } from "./recover.js";

/** What leadership asks of a source of journals; each journal is one term of it. */
export interface TermSource {
  /** Waits until this process may lead. */
  lead(blobs: BlobStore, onStandby: (heldBy: string) => void): Promise<Term>;
  readonly canStandBy: boolean;
  close(): Promise<void>;
}

/** What a coordinator begins to lead with. */
export interface Term {
  readonly journal: Journal;
  /** The farm, where this process has followed the journal while it stood by. */
  readonly followed: Recovered | null;
}

/** A coordinator that leads. */
export interface Led {
  readonly address: string;
  stop(): Promise<void>;
}

export interface LeadershipParts<C extends Led> {
  readonly source: TermSource;
  readonly blobs: BlobStore;
  readonly log: Log;
  /**
   * Starts a coordinator on the journal.
   *
   * @param address where the one before listened; null at first
   */
  readonly start: (
    term: Term,
    address: string | null,
    onBroken: (error: unknown) => void,
  ) => Promise<C>;
  readonly onStandby: (heldBy: string) => void;
  readonly onLead: (coordinator: C) => void;
}

export class Leadership<C extends Led = Led> {
  readonly #parts: LeadershipParts<C>;
  #coordinator: C | null = null;
  #stopped = false;

  constructor(parts: LeadershipParts<C>) {
    this.#parts = parts;
  }

  /**
   * Leads whenever it may; resolves once stopped.
   *
   * @throws FarmError what the first start threw, and what broke a journal that nobody else leads
   */
  async run(): Promise<void> {
    const { source, log } = this.#parts;
    let address: string | null = null;
    while (!this.#stopped) {
      const error: FarmError = await this.#leadOnce(address, (bound) => {
        address = bound;
      });
      if (this.#stopped) return;
      // What is not about reaching the journal would be the same the next time.
      if (address === null || !source.canStandBy || error.code !== "unreachable") throw error;
      log.warn(`this coordinator leads no longer: ${error.detail}`);
      await this.#coordinator?.stop();
      this.#coordinator = null;
    }
  }

  /** Ends the coordinator there is, and the waiting for another. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#coordinator?.stop();
    await this.#parts.source.close();
  }

  /** @returns why it ended */
  async #leadOnce(
    address: string | null,
    onAddress: (address: string) => void,
  ): Promise<FarmError> {
    const { source, blobs, start, onStandby, onLead } = this.#parts;
    try {
      const term = await source.lead(blobs, onStandby);
      const { journal } = term;
      let broken: (error: unknown) => void = () => {};
      const end = new Promise<unknown>((resolve) => {
        broken = resolve;
      });
      if (this.#stopped) {
        await journal.close();
        return new FarmError("cancelled", "the coordinator stops");
      }
      this.#coordinator = await start(term, address, broken).catch(async (error: unknown) => {
        await journal.close();
        throw error;
      });
      onAddress(this.#coordinator.address);
      onLead(this.#coordinator);
      return asFarmError(await end);
    } catch (error) {
      return asFarmError(error);
    }
  }
}
