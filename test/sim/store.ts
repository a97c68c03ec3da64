/** @file The blob store: bytes are texts that are their own checksum. Slow or failing when told so. */
import { FarmError } from "../../shared/core/errors.js";
import { corruptBlob, missingBlob } from "../../shared/ports/blob-errors.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type { Random } from "./random.js";
import type { Timeline } from "./timeline.js";

/** Called once; exactly one of both is given. */
export type Answer<T> = (error: FarmError | null, value: T | undefined) => void;

export class SimStore {
  readonly blobs = new Map<string, string>();
  /** Blobs of which a bit has changed since they were written. */
  readonly rotten = new Set<string>();
  rots = 0;
  /** When each blob was written, by the clock on the wall. */
  readonly putAtMs = new Map<string, number>();
  /** How often each key was written. */
  readonly writes = new Map<string, number>();
  /** Caller -> until when it cannot reach the store; "*" is everyone. */
  readonly #downUntilMs = new Map<string, number>();
  #slow = { untilMs: 0, delayMs: 0 };
  readonly #timeline: Timeline;
  readonly #random: Random;

  readonly #checks: boolean;
  readonly #wallMs: () => number;

  /** @param checks whether what is read is compared with its reference */
  constructor(
    timeline: Timeline,
    random: Random,
    options: { readonly checks: boolean; readonly wallMs: () => number },
  ) {
    this.#timeline = timeline;
    this.#random = random;
    this.#checks = options.checks;
    this.#wallMs = options.wallMs;
  }

  /** A bit of it flips where it lies. */
  rot(key: string): void {
    this.blobs.set(key, `${this.blobs.get(key)}~`);
    this.rotten.add(key);
    this.rots += 1;
  }

  /** What users send is there at once. */
  upload(key: string, content: string): void {
    this.blobs.set(key, content);
    this.putAtMs.set(key, this.#wallMs());
    this.rotten.delete(key);
  }

  fail(caller: string, durationMs: number): void {
    this.#downUntilMs.set(caller, this.#timeline.nowMs() + durationMs);
  }

  slow(durationMs: number, delayMs: number): void {
    this.#slow = { untilMs: this.#timeline.nowMs() + durationMs, delayMs };
  }

  heal(): void {
    this.#downUntilMs.clear();
    this.#slow = { untilMs: 0, delayMs: 0 };
  }

  put(caller: string, key: string, content: string, answer: Answer<BlobRef>): void {
    this.#later(caller, answer, () => {
      this.#write(key, content);
      return { key, sha256: content, size: content.length };
    });
  }

  putIfAbsent(
    caller: string,
    key: string,
    content: string,
    answer: Answer<"created" | "exists">,
  ): void {
    this.#later(caller, answer, () => {
      if (this.blobs.has(key)) return "exists";
      this.#write(key, content);
      return "created";
    });
  }

  get(caller: string, ref: BlobRef, answer: Answer<string>): void {
    this.#later(caller, answer, () => {
      const content = this.blobs.get(ref.key);
      if (content === undefined) return missingBlob(ref);
      return content === ref.sha256 || !this.#checks ? content : corruptBlob(ref);
    });
  }

  /** Removes every blob that the test chooses. */
  removeWhere(caller: string, test: (key: string) => boolean, answer: Answer<number>): void {
    this.#later(caller, answer, () => {
      const keys = [...this.blobs.keys()].filter(test);
      for (const key of keys) this.blobs.delete(key);
      return keys.length;
    });
  }

  #write(key: string, content: string): void {
    this.upload(key, content);
    this.writes.set(key, (this.writes.get(key) ?? 0) + 1);
  }

  /** A request that fails may have been carried out all the same: its answer was lost. */
  #later<T>(caller: string, answer: Answer<T>, act: () => T | FarmError): void {
    const nowMs = this.#timeline.nowMs();
    const extraMs = this.#slow.untilMs > nowMs ? this.#random.unit() * this.#slow.delayMs : 0;
    this.#timeline.after(0.5 + this.#random.unit() * 3 + extraMs, () => {
      const isDown = this.#isDown(caller);
      if (isDown && this.#random.chance(0.7)) {
        answer(new FarmError("unreachable", "the store cannot be reached"), undefined);
        return;
      }
      const done = act();
      if (isDown) answer(new FarmError("unreachable", "the store did not answer"), undefined);
      else if (done instanceof FarmError) answer(done, undefined);
      else answer(null, done);
    });
  }

  #isDown(caller: string): boolean {
    const until = (who: string) => this.#downUntilMs.get(who) ?? 0;
    return Math.max(until("*"), until(caller)) > this.#timeline.nowMs();
  }
}
