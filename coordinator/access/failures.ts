/**
 * @file Calls that failed to show who makes them: counted, and of one source only so many answered and
 * logged each second. Whoever shows a good key is never held back by them.
 */
import { TokenBucket } from "./token-bucket.js";

const RATE = { perSecond: 1, burst: 20 };
/** Sources that are remembered; the oldest goes when there are more. */
const SOURCES_MAX = 10_000;

export class AuthFailures {
  /** Since the start, for the metrics. */
  count = 0;
  readonly #nowMs: () => number;
  readonly #sources = new Map<string, TokenBucket>();

  /** @param nowMs of a clock that never jumps */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** @returns 0, or for how many milliseconds the source has failed too often */
  note(source: string): number {
    this.count += 1;
    const nowMs = this.#nowMs();
    const bucket = this.#sources.get(source) ?? new TokenBucket(RATE, nowMs);
    this.#sources.delete(source);
    this.#sources.set(source, bucket);
    if (this.#sources.size > SOURCES_MAX) {
      for (const oldest of this.#sources.keys()) {
        this.#sources.delete(oldest);
        break;
      }
    }
    return bucket.take(RATE, 1, nowMs);
  }
}
