/** @file The keys that are good now: the file is read again while the coordinator runs. */
import { type ApiKey, type KeyState, keyOfToken, stateOf } from "../../shared/access/api-key.js";
import { type KeyFile, readKeyFile } from "../../shared/access/key-file.js";
import type { Quota } from "../../shared/access/quota.js";
import type { CancelTimer, Clock } from "../../shared/ports/clock.js";
import type { Log } from "../../shared/ports/log.js";

/** A key that is revoked is refused, and its streams are cut, this much later at the latest. */
const LOOK_MS = 1_000;

export interface KeyRingOptions {
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly log: Log;
}

export class KeyRing {
  readonly #path: string;
  readonly #options: KeyRingOptions;
  readonly #listeners = new Set<() => void>();
  #file: KeyFile;
  #keys: ReadonlyMap<string, ApiKey>;
  #complaint = "";
  #cancelLook: CancelTimer = () => {};

  /** @throws what `readKeyFile` throws */
  constructor(path: string, options: KeyRingOptions) {
    this.#path = path;
    this.#options = options;
    this.#file = readKeyFile(path);
    this.#keys = byId(this.#file);
    this.#lookLater();
  }

  /** The key that a token shows, and whether it is good now. */
  find(token: string): { readonly key: ApiKey; readonly state: KeyState } | null {
    const key = keyOfToken(token, this.#keys);
    return key && { key, state: stateOf(key, this.#options.wallMs()) };
  }

  /** Whether a key is still good: it may be gone from the file altogether. */
  isGood(keyId: string): boolean {
    const key = this.#keys.get(keyId);
    return key !== undefined && stateOf(key, this.#options.wallMs()) === "good";
  }

  quotaOf(owner: string): Quota | undefined {
    return this.#file.quotas.get(owner);
  }

  /** Called after every look: a key may have been revoked, or have expired. */
  onLook(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#cancelLook();
    this.#listeners.clear();
  }

  #lookLater(): void {
    this.#cancelLook = this.#options.clock.after(LOOK_MS, () => {
      this.#look();
      for (const listener of [...this.#listeners]) listener();
      this.#lookLater();
    });
  }

  /** A file that cannot be read leaves the keys as they were: its owner is told, nobody is let in anew. */
  #look(): void {
    try {
      this.#file = readKeyFile(this.#path);
      this.#keys = byId(this.#file);
      this.#complaint = "";
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#complaint) this.#options.log.warn(`keys stay as they were: ${message}`);
      this.#complaint = message;
    }
  }
}

function byId({ keys }: KeyFile): ReadonlyMap<string, ApiKey> {
  return new Map(keys.map((key) => [key.id, key]));
}
