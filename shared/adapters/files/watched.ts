/** @file What a process has read from files, and reads again while it runs: a change needs no restart. */
import type { CancelTimer, Clock } from "../../ports/clock.js";
import type { Log } from "../../ports/log.js";

/** How soon a change of the files is seen. */
const LOOK_MS = 1_000;

export interface WatchOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** What is said, with the reason, of files that cannot be taken: "keys stay as they were". */
  readonly stays: string;
}

/**
 * The newest that could be read. Files that are being replaced fit each other again a moment later, so
 * what cannot be read changes nothing, and is said once.
 */
export class Watched<T> {
  readonly #read: (before: T | null) => T;
  readonly #options: WatchOptions;
  readonly #changeListeners = new Set<(next: T) => void>();
  readonly #lookListeners = new Set<() => void>();
  #current: T;
  #complaint = "";
  #cancelLook: CancelTimer = () => {};

  /**
   * @param read gets what was read before, null at first; it gives back the same where nothing changed
   * @throws what `read` throws at first
   */
  constructor(read: (before: T | null) => T, options: WatchOptions) {
    this.#read = read;
    this.#options = options;
    this.#current = read(null);
    this.#lookLater();
  }

  get current(): T {
    return this.#current;
  }

  /** @returns ends it */
  onChange(listener: (next: T) => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** Called after every look, for what the time alone changes. Returns what ends it. */
  onLook(listener: () => void): () => void {
    this.#lookListeners.add(listener);
    return () => this.#lookListeners.delete(listener);
  }

  /** Stops looking. */
  close(): void {
    this.#cancelLook();
    this.#changeListeners.clear();
    this.#lookListeners.clear();
  }

  #lookLater(): void {
    this.#cancelLook = this.#options.clock.after(LOOK_MS, () => {
      this.#look();
      for (const listener of [...this.#lookListeners]) listener();
      this.#lookLater();
    });
  }

  #look(): void {
    try {
      const before = this.#current;
      this.#current = this.#read(before);
      this.#complaint = "";
      if (this.#current === before) return;
      for (const listener of [...this.#changeListeners]) listener(this.#current);
    } catch (error) {
      const { message } = error as Error;
      const { log, stays } = this.#options;
      if (message !== this.#complaint) log.warn(`${stays}: ${message}`);
      this.#complaint = message;
    }
  }
}
