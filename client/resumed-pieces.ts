/** @file A file that comes over a connection which may break, or take longer than one call may. */
import { asFarmError } from "../shared/core/errors.js";
import { Absence } from "./absence.js";

/**
 * The pieces of a file, each once and in order; after a failure that may pass the rest is asked for.
 *
 * @param open the file from this byte on
 * @throws FarmError "unreachable" after 30 s in which nothing came, and every other failure at once
 */
export async function* resumedPieces(
  open: (offset: bigint) => AsyncIterable<{ readonly piece: Uint8Array }>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const absence = new Absence();
  for (let taken = 0; ; ) {
    const before = taken;
    try {
      for await (const { piece } of open(BigInt(taken))) {
        absence.isOver();
        taken += piece.length;
        yield piece;
      }
      return;
    } catch (error) {
      const isSlow = asFarmError(error).code === "deadline" && taken > before;
      if (!isSlow) absence.endures(error);
    }
    await absence.pause(signal);
  }
}
