/** @file A part of a file that comes in pieces. */

/**
 * The bytes from `first` to `last`, both included. The store checks a file by reading it whole, so what
 * comes before them is read and left out, and a part up to the end is read to the end.
 */
export async function* sliceOf(
  pieces: AsyncIterable<Uint8Array>,
  first: number,
  last = Number.POSITIVE_INFINITY,
): AsyncGenerator<Uint8Array> {
  let position = 0;
  for await (const piece of pieces) {
    const from = Math.max(0, first - position);
    const to = Math.min(piece.length, last + 1 - position);
    if (from < to) yield piece.subarray(from, to);
    position += piece.length;
    if (position > last) return;
  }
}
