/** @file Quotas as they are used up; how much each owner may have comes from the key file. */
import { QUOTA_DEFAULT, type Quota } from "../../shared/access/quota.js";
import { FarmError } from "../../shared/core/errors.js";
import { TokenBucket } from "./token-bucket.js";

/** When it may be worth trying again where no rate tells. */
const RETRY_MS = 10_000;
const HOUR_S = 3_600;

interface Used {
  readonly submits: TokenBucket;
  readonly bytes: TokenBucket;
}

export class Quotas {
  readonly #quotaOf: (owner: string) => Quota | undefined;
  readonly #nowMs: () => number;
  /** Owners are as many as the key file has. */
  readonly #used = new Map<string, Used>();

  /** @param nowMs of a clock that never jumps */
  constructor(quotaOf: (owner: string) => Quota | undefined, nowMs: () => number) {
    this.#quotaOf = quotaOf;
    this.#nowMs = nowMs;
  }

  /** @throws FarmError "exhausted" when submits come too fast */
  takeSubmit(owner: string): void {
    const { submitsPerSecond: perSecond, submitBurst: burst } = this.#quota(owner);
    const waitMs = this.#usedBy(owner).submits.take({ perSecond, burst }, 1, this.#nowMs());
    if (waitMs > 0) refuse(owner, `more than ${perSecond} submits a second`, waitMs);
  }

  /** @throws FarmError "exhausted" when more was uploaded than an hour may have */
  takeInputBytes(owner: string, bytes: number): void {
    const rate = bytesRate(this.#quota(owner));
    const waitMs = this.#usedBy(owner).bytes.take(rate, bytes, this.#nowMs());
    if (waitMs > 0) refuse(owner, `more than ${rate.burst} bytes of inputs an hour`, waitMs);
  }

  /** @throws FarmError "exhausted" when as many jobs wait as may */
  refuseFull(owner: string, queued: number): void {
    const { queuedJobs } = this.#quota(owner);
    if (queued >= queuedJobs) refuse(owner, `${queued} jobs wait, and may`, RETRY_MS);
  }

  /** Jobs of an owner that may be worked on at a time; null: as many as come. */
  runningJobsMax(owner: string): number | null {
    return this.#quota(owner).runningJobs || null;
  }

  #quota(owner: string): Quota {
    return this.#quotaOf(owner) ?? QUOTA_DEFAULT;
  }

  #usedBy(owner: string): Used {
    const known = this.#used.get(owner);
    if (known) return known;
    const { submitsPerSecond: perSecond, submitBurst: burst } = this.#quota(owner);
    const nowMs = this.#nowMs();
    const used = {
      submits: new TokenBucket({ perSecond, burst }, nowMs),
      bytes: new TokenBucket(bytesRate(this.#quota(owner)), nowMs),
    };
    this.#used.set(owner, used);
    return used;
  }
}

function bytesRate({ inputBytesPerHour }: Quota) {
  return { perSecond: inputBytesPerHour / HOUR_S, burst: inputBytesPerHour };
}

function refuse(owner: string, what: string, retryAfterMs: number): never {
  const detail = `quota of ${owner}: ${what}; try again in ${Math.ceil(retryAfterMs / 1_000)} s`;
  const bound = { subject: `owner:${owner}`, retryAfterMs };
  throw new FarmError("exhausted", detail, { bound });
}
