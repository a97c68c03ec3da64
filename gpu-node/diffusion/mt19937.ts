/** @file The Mersenne Twister MT19937: 32 random bits at a time, and a cheap way past many of them. */
import { assert } from "../../shared/core/assert.js";

const STATE_WORDS = 624;
const SHIFT_WORDS = 397;
const TWIST_MATRIX = 0x9908b0df;
const UPPER_BIT = 0x80000000;
const LOWER_BITS = 0x7fffffff;

export interface Mt19937 {
  /** The next draw, an integer in 0..2^32-1. */
  nextUint32(): number;
  /** Moves past `count` draws at about a sixth of the cost of taking them. */
  skip(count: number): void;
}

/**
 * @param seed an integer in 0..2^32-1
 * @source Matsumoto, Nishimura 1998, "Mersenne Twister", and the authors' mt19937ar init_genrand
 */
export function createMt19937(seed: number): Mt19937 {
  assert(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32, `a 32-bit seed, not ${seed}`);
  const state = seededState(seed);
  let next = STATE_WORDS; // nothing of the first block has been made yet

  return {
    nextUint32() {
      if (next === STATE_WORDS) {
        twist(state);
        next = 0;
      }
      return temper(state[next++]!);
    },
    skip(count) {
      assert(Number.isSafeInteger(count) && count >= 0, `a count of draws, not ${count}`);
      next += count;
      for (; next > STATE_WORDS; next -= STATE_WORDS) twist(state);
    },
  };
}

function seededState(seed: number): Uint32Array {
  const state = new Uint32Array(STATE_WORDS);
  state[0] = seed;
  for (let i = 1; i < STATE_WORDS; i++) {
    const previous = state[i - 1]!;
    state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
  }
  return state;
}

/** Replaces the whole block by the next one, in place. */
function twist(state: Uint32Array): void {
  for (let i = 0; i < STATE_WORDS; i++) {
    const following = i + 1 < STATE_WORDS ? i + 1 : 0;
    const shifted = i + SHIFT_WORDS < STATE_WORDS ? i + SHIFT_WORDS : i + SHIFT_WORDS - STATE_WORDS;
    const joined = (state[i]! & UPPER_BIT) | (state[following]! & LOWER_BITS);
    state[i] = state[shifted]! ^ (joined >>> 1) ^ (joined & 1 ? TWIST_MATRIX : 0);
  }
}

function temper(word: number): number {
  let y = word;
  y ^= y >>> 11;
  y ^= (y << 7) & 0x9d2c5680;
  y ^= (y << 15) & 0xefc60000;
  return (y ^ (y >>> 18)) >>> 0;
}
