/** @file How long a client bears with a farm that does not answer, in the middle of a stream. */
import { setTimeout as sleep } from "node:timers/promises";
import { asFarmError } from "../shared/core/errors.js";
import { interrupted } from "./abortable-calls.js";

/** A coordinator that starts again, or another that takes over, is there well before. */
const AWAY_MS_MAX = 30_000;
const RETRY_MS = 500;

/** One stream's patience: it begins with the first failure, and anew after every sign of life. */
export class Absence {
  #sinceMs: number | null = null;

  /** Something came. */
  isOver(): void {
    this.#sinceMs = null;
  }

  /** @throws FarmError the failure, unless it is an absence that may still end */
  endures(error: unknown): void {
    const known = asFarmError(error);
    this.#sinceMs ??= Date.now();
    if (known.code !== "unreachable" || Date.now() - this.#sinceMs >= AWAY_MS_MAX) throw known;
  }

  /** @throws FarmError "cancelled" after an abort */
  async pause(signal?: AbortSignal): Promise<void> {
    await sleep(RETRY_MS, undefined, signal && { signal }).catch(() => {
      throw interrupted();
    });
  }
}
