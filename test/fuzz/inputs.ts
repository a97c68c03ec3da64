/**
 * @file How many inputs the tests of this folder try: 20,000 together, or a million with
 * RENDERFARM_FUZZ=nightly, where every run tries others.
 *
 * A failure prints the seed and the path that lead to the smallest input which fails.
 */
import type { Parameters } from "fast-check";
import * as fc from "fast-check";

const isNightly = process.env["RENDERFARM_FUZZ"] === "nightly";
const NIGHTLY_FACTOR = 50;
/** An input that takes longer has found a loop that should not be. */
const INPUT_MS_MAX = 10_000;

/** Time for all inputs of one test, milliseconds. */
export const FUZZ_MS_MAX = isNightly ? 4 * 3_600_000 : 240_000;

/** @param count inputs of an ordinary run */
export function tries(count: number): Parameters<unknown> {
  return isNightly ? { numRuns: count * NIGHTLY_FACTOR } : { numRuns: count, seed: 20_261 };
}

/** Does something with an input; throws when it took as long as a hang. */
export async function inTime<T>(work: () => T | Promise<T>): Promise<T> {
  const startMs = performance.now();
  const result = await work();
  const tookMs = performance.now() - startMs;
  if (tookMs > INPUT_MS_MAX) throw new Error(`one input took ${Math.round(tookMs)} ms`);
  return result;
}

/** A change to some bytes, as faults and attackers make them. */
type Change =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "set"; readonly at: number; readonly value: number }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "repeat"; readonly at: number; readonly length: number };

const place = fc.double({ min: 0, max: 1, noNaN: true });
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant("flip"), at: place, bit: fc.nat(7) }),
  fc.record({
    ...{ kind: fc.constant("set"), at: place },
    value: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff),
  }),
  fc.record({ kind: fc.constant("cut"), at: place }),
  fc.record({ kind: fc.constant("insert"), at: place, bytes: fc.uint8Array({ maxLength: 16 }) }),
  fc.record({ kind: fc.constant("repeat"), at: place, length: fc.nat(64) }),
);

/** A sound file with some changes to it. */
export function damaged(sound: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(fc.constantFrom(...sound), fc.array(change, { minLength: 1, maxLength: 6 }))
    .map(([file, changes]) => changes.reduce(changed, Buffer.from(file)));
}

function changed(file: Buffer, one: Change): Buffer {
  const at = Math.min(file.length - 1, Math.floor(one.at * file.length));
  if (at < 0) return file;
  switch (one.kind) {
    case "flip":
    case "set": {
      const copy = Buffer.from(file);
      copy[at] = one.kind === "set" ? one.value : copy[at]! ^ (1 << one.bit);
      return copy;
    }
    case "cut":
      return file.subarray(0, at);
    case "insert":
      return Buffer.concat([file.subarray(0, at), one.bytes, file.subarray(at)]);
    case "repeat": {
      const piece = file.subarray(at, at + one.length);
      return Buffer.concat([file.subarray(0, at), piece, file.subarray(at)]);
    }
  }
}
