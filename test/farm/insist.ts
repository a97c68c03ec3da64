/** @file A client that does not give up while nobody answers. */
import { setTimeout as sleep } from "node:timers/promises";
import { asFarmError, type FarmErrorCode } from "../../shared/core/errors.js";

const RETRY_MS = 50;

/**
 * Asks again while nobody answers.
 *
 * @param settled codes that say that it was done already
 * @returns null when it was done already
 */
export async function insist<A>(
  call: () => Promise<A>,
  settled: readonly FarmErrorCode[],
): Promise<A | null>;
export async function insist<A>(call: () => Promise<A>): Promise<A>;
export async function insist<A>(
  call: () => Promise<A>,
  settled: readonly FarmErrorCode[] = [],
): Promise<A | null> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const { code } = asFarmError(error);
      if (settled.includes(code)) return null;
      if (code !== "unreachable") throw error;
      await sleep(RETRY_MS);
    }
  }
}
