/**
 * @file torch's CPU generator for float32 normals, so that a seed gives the clip diffusers gives.
 *
 * One generator may run over a whole batch (image noise first, then the latents of every clip), and
 * a node makes one clip only: `randnSlice` computes the values wanted and walks past the others.
 *
 * @source pytorch aten/src/ATen/native/cpu/DistributionTemplates.h (normal_fill, normal_fill_16)
 *   and aten/src/ATen/core/DistributionsHelper.h (uniform_real_distribution, normal_distribution)
 */
import { assert } from "../../shared/core/assert.js";
import { FarmError } from "../../shared/core/errors.js";
import { createMt19937, type Mt19937 } from "./mt19937.js";

/** Values that torch makes together: 8 uniforms give radii, 8 give angles. */
const BLOCK = 16;
const SEED_MAX = 2n ** 64n - 1n;
const TWO_PI = 2 * Math.PI;
const TWO_PI_F32 = Math.fround(TWO_PI);

export interface TorchGenerator {
  /** `torch.randn(count, generator=…)`: `count` float32 standard normals. */
  randn(count: number): Float32Array;
  /** Values start..end-1 of `randn(count)`; the state moves on as if all had been taken. */
  randnSlice(count: number, start: number, end: number): Float32Array;
  /** Moves on as `randn(count)` does and computes nothing that nobody reads. */
  skipRandn(count: number): void;
}

/** Why torch would not take this seed, with its legal range; null when it would. */
export function seedProblem(seed: bigint | number): string | null {
  const legal = typeof seed === "bigint" ? seed >= 0n && seed <= SEED_MAX : seed >= 0;
  if (legal && (typeof seed === "bigint" || Number.isSafeInteger(seed))) return null;
  return `seed ${seed} is not an integer in 0..${SEED_MAX}`;
}

/**
 * `torch.Generator().manual_seed(seed)`.
 *
 * @param seed an integer in 0..2^64-1; the twister takes its low 32 bits, as in torch
 * @throws FarmError "invalid-argument" for any other seed
 */
export function createTorchGenerator(seed: bigint | number): TorchGenerator {
  const problem = seedProblem(seed);
  if (problem !== null) {
    throw new FarmError("invalid-argument", problem, {
      violations: [{ field: "seed", description: problem }],
    });
  }
  const twister = createMt19937(Number(BigInt.asUintN(32, BigInt(seed))));
  const nextScalar = scalarNormals(twister);

  const randnSlice = (count: number, start: number, end: number): Float32Array => {
    assert(Number.isSafeInteger(count) && count >= 0, `a count of normals, not ${count}`);
    assert(0 <= start && start <= end && end <= count, `${start}..${end} to lie in 0..${count}`);
    if (count >= BLOCK) return blockNormals(twister, count, start, end);
    return Float32Array.from({ length: count }, nextScalar).subarray(start, end);
  };
  return {
    randn: (count) => randnSlice(count, 0, count),
    randnSlice,
    skipRandn: (count) => {
      randnSlice(count, 0, 0);
    },
  };
}

/**
 * Fewer than 16 values: one at a time in double precision. Each pair of draws gives two normals and
 * the second is kept for the next call, however many block draws come between.
 */
function scalarNormals(twister: Mt19937): () => number {
  let kept: number | null = null;
  return () => {
    if (kept !== null) {
      const value = kept;
      kept = null;
      return value;
    }
    const theta = TWO_PI * uniform53(twister);
    const radius = Math.sqrt(-2 * Math.log1p(-uniform53(twister)));
    kept = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  };
}

/** Uniform in [0, 1) from two draws, the high word first, of which the low 53 bits count. */
function uniform53(twister: Mt19937): number {
  const high = twister.nextUint32() & 0x1fffff;
  return (high * 2 ** 32 + twister.nextUint32()) * 2 ** -53;
}

/**
 * 16 values or more: torch draws `count` uniforms, turns every whole block of 16 into normals and,
 * when some are left over, makes the *last* 16 values anew from 16 further uniforms.
 */
function blockNormals(twister: Mt19937, count: number, start: number, end: number): Float32Array {
  const out = new Float32Array(end - start);
  const block = new Float32Array(BLOCK);
  const tail = count % BLOCK === 0 ? count : count - BLOCK;

  let drawn = 0;
  for (let first = start - (start % BLOCK); first < Math.min(end, tail); first += BLOCK) {
    twister.skip(first - drawn);
    fillBlock(twister, block);
    drawn = first + BLOCK;
    copyOverlap(block, first, out, start);
  }
  twister.skip(count - drawn);

  if (tail === count) return out;
  if (end <= tail) {
    twister.skip(BLOCK);
    return out;
  }
  fillBlock(twister, block);
  copyOverlap(block, tail, out, start);
  return out;
}

/** Box-Muller in float32: uniform j gives the radius, uniform j + 8 the angle. */
function fillBlock(twister: Mt19937, block: Float32Array): void {
  for (let j = 0; j < BLOCK; j++) block[j] = (twister.nextUint32() & 0xffffff) * 2 ** -24;
  for (let j = 0; j < BLOCK / 2; j++) {
    const log = Math.fround(Math.log(1 - block[j]!)); // 1 - u is in (0, 1]: never log(0)
    const radius = Math.fround(Math.sqrt(-2 * log));
    const theta = Math.fround(TWO_PI_F32 * block[j + BLOCK / 2]!);
    block[j] = radius * Math.fround(Math.cos(theta));
    block[j + BLOCK / 2] = radius * Math.fround(Math.sin(theta));
  }
}

/** Copies the part of `block` (values first..first+15 of the draw) that `out` (from start) covers. */
function copyOverlap(block: Float32Array, first: number, out: Float32Array, start: number): void {
  const from = Math.max(first, start);
  const to = Math.min(first + BLOCK, start + out.length);
  for (let i = from; i < to; i++) out[i - start] = block[i - first]!;
}
