/** @file Says, once, that a certificate ends soon: who renews them may have forgotten it. */
import type { Log } from "../../ports/log.js";
import type { Validity } from "./pem.js";

/** A certificate with less of its life left should have been renewed. */
const LIFE_LEFT_MIN = 0.2;

interface EndWarningOptions {
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly log: Log;
}

export class EndWarning {
  readonly #what: string;
  readonly #wayOut: string;
  readonly #options: EndWarningOptions;
  #warnedOfMs = Number.NaN;

  /** @param what ends, for the message: "the certificate" */
  constructor(what: string, wayOut: string, options: EndWarningOptions) {
    this.#what = what;
    this.#wayOut = wayOut;
    this.#options = options;
  }

  look({ startsAtMs, endsAtMs }: Validity): void {
    const { wallMs, log } = this.#options;
    const left = (endsAtMs - wallMs()) / (endsAtMs - startsAtMs);
    if (left > LIFE_LEFT_MIN || this.#warnedOfMs === endsAtMs) return;
    this.#warnedOfMs = endsAtMs;
    const end = new Date(endsAtMs).toISOString();
    log.warn(`${this.#what} ends at ${end}; ${this.#wayOut}`);
  }
}
