/** @file How requests to an S3 server are made: each with a deadline, some tries, and a breaker. */
import { setTimeout as sleep } from "node:timers/promises";
import pRetry from "p-retry";
import { CircuitBreaker } from "./circuit-breaker.js";
import { S3Failure } from "./s3-failure.js";

export interface CallLimits {
  /** Time for a request without its bytes, milliseconds. */
  readonly answerMsMax: number;
  /** A transfer slower than this counts as none, bytes a second. */
  readonly bytesPerSMin: number;
  /** Tries of a request that may succeed a moment later, the first one included. */
  readonly triesMax: number;
  /** The first pause between two tries, milliseconds; later ones double, all with jitter. */
  readonly pauseMsMin: number;
  readonly pauseMsMax: number;
  /** Failed tries in a row, of all requests together, after which requests fail at once. */
  readonly failuresMax: number;
  /** For how long they then do, milliseconds. */
  readonly openMs: number;
}

export const CALL_LIMITS_DEFAULT: CallLimits = {
  answerMsMax: 20_000,
  bytesPerSMin: 512 * 1024,
  triesMax: 4,
  pauseMsMin: 200,
  pauseMsMax: 5_000,
  failuresMax: 6,
  openMs: 3_000,
};

export class S3Calls {
  readonly #limits: CallLimits;
  readonly #breaker: CircuitBreaker;

  constructor(limits: CallLimits) {
    this.#limits = limits;
    const { failuresMax, openMs } = limits;
    this.#breaker = new CircuitBreaker({ failuresMax, openMs }, () => performance.now());
  }

  /** Time for a request that moves so many bytes, milliseconds. */
  allowanceMs(bytes: number): number {
    return this.#limits.answerMsMax + (bytes / this.#limits.bytesPerSMin) * 1_000;
  }

  /**
   * Makes a request, again when a failure may pass.
   *
   * @param bytes how many it moves, for its deadline
   * @param request gets the number of its try, from 1
   * @throws S3Failure of the last try
   */
  async run<T>(
    bytes: number,
    request: (signal: AbortSignal, tryNumber: number) => Promise<T>,
  ): Promise<T> {
    const { triesMax, pauseMsMin, pauseMsMax } = this.#limits;
    return pRetry((tryNumber) => this.once(this.allowanceMs(bytes), request, tryNumber), {
      retries: triesMax - 1,
      minTimeout: pauseMsMin,
      maxTimeout: pauseMsMax,
      randomize: true,
      shouldRetry: ({ error }) => error instanceof S3Failure && error.isTransient && !isOpen(error),
    });
  }

  /** Makes a request once, within so many milliseconds. */
  async once<T>(
    allowanceMs: number,
    request: (signal: AbortSignal, tryNumber: number) => Promise<T>,
    tryNumber = 1,
  ): Promise<T> {
    if (!this.#breaker.admit()) throw new S3Failure({ status: null, code: OPEN }, OPEN_TEXT, null);
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), allowanceMs);
    try {
      const result = await request(controller.signal, tryNumber);
      this.#breaker.succeeded();
      return result;
    } catch (error) {
      this.report(error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The pause after so many tries: twice as long after each, with jitter. */
  async pause(tries: number): Promise<void> {
    const { pauseMsMin, pauseMsMax } = this.#limits;
    await sleep(Math.min(pauseMsMin * 2 ** tries, pauseMsMax) * (1 + Math.random()));
  }

  /** Tells the breaker of a failure that came after a request's answer: in the midst of its bytes. */
  report(error: unknown): void {
    if (error instanceof S3Failure && error.isTransient) this.#breaker.failed();
    else this.#breaker.succeeded();
  }
}

const OPEN = "circuit-open";
const OPEN_TEXT = "it failed several times in a row; the next try comes in some seconds";

function isOpen(failure: S3Failure): boolean {
  return failure.code === OPEN;
}
