/** @file The keys that are good now: the file is read again while the coordinator runs. */
import { type ApiKey, type KeyState, keyOfToken, stateOf } from "../../shared/access/api-key.js";
import { type KeyFile, readKeyFile } from "../../shared/access/key-file.js";
import type { Quota } from "../../shared/access/quota.js";
import { Watched } from "../../shared/adapters/files/watched.js";
import type { Clock } from "../../shared/ports/clock.js";
import type { Log } from "../../shared/ports/log.js";

export interface KeyRingOptions {
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly log: Log;
}

interface Keys {
  readonly file: KeyFile;
  readonly byId: ReadonlyMap<string, ApiKey>;
}

/**
 * A key that is revoked is refused, and its streams are cut, at the next look. A file that cannot be
 * read leaves the keys as they were: its owner is told, nobody is let in anew.
 */
export class KeyRing {
  readonly #options: KeyRingOptions;
  readonly #keys: Watched<Keys>;

  /** @throws what `readKeyFile` throws */
  constructor(path: string, options: KeyRingOptions) {
    this.#options = options;
    this.#keys = new Watched(() => readKeys(path), { ...options, stays: "keys stay as they were" });
  }

  /** The key that a token shows, and whether it is good now. */
  find(token: string): { readonly key: ApiKey; readonly state: KeyState } | null {
    const key = keyOfToken(token, this.#keys.current.byId);
    return key && { key, state: stateOf(key, this.#options.wallMs()) };
  }

  /** Whether a key is still good: it may be gone from the file altogether. */
  isGood(keyId: string): boolean {
    const key = this.#keys.current.byId.get(keyId);
    return key !== undefined && stateOf(key, this.#options.wallMs()) === "good";
  }

  quotaOf(owner: string): Quota | undefined {
    return this.#keys.current.file.quotas.get(owner);
  }

  /** Called after every look: a key may have been revoked, or have expired. */
  onLook(listener: () => void): () => void {
    return this.#keys.onLook(listener);
  }

  close(): void {
    this.#keys.close();
  }
}

function readKeys(path: string): Keys {
  const file = readKeyFile(path);
  return { file, byId: new Map(file.keys.map((key) => [key.id, key])) };
}
