/** @file Pseudo-random numbers of a simulation: xoshiro128**, seeded by a text, split per concern. */

export class Random {
  readonly #seed: string;
  readonly #state: Uint32Array;

  /** @param seed equal seeds give equal numbers */
  constructor(seed: string) {
    this.#seed = seed;
    this.#state = new Uint32Array(4);
    let mixed = hash32(seed);
    for (let i = 0; i < 4; i++) {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      this.#state[i] = finalized(mixed);
    }
    if (this.#state.every((word) => word === 0)) this.#state[0] = 1;
  }

  /** Numbers of their own: drawing more here does not shift those drawn elsewhere. */
  split(concern: string): Random {
    return new Random(`${this.#seed}/${concern}`);
  }

  /** 0..2^32 - 1. */
  next(): number {
    const s = this.#state;
    const [s0, s1, s2, s3] = [s[0]!, s[1]!, s[2]!, s[3]!];
    const answer = Math.imul(rotated(Math.imul(s1, 5), 7), 9) >>> 0;
    const a = s2 ^ s0;
    const b = s3 ^ s1;
    s[0] = s0 ^ b;
    s[1] = s1 ^ a;
    s[2] = a ^ (s1 << 9);
    s[3] = rotated(b, 11);
    return answer;
  }

  /** 0 up to but without 1. */
  unit(): number {
    return this.next() / 2 ** 32;
  }

  /** Whole, 0..count - 1. */
  below(count: number): number {
    return Math.floor(this.unit() * count);
  }

  /** Whole, both ends included. */
  integer(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  between(low: number, high: number): number {
    return low + this.unit() * (high - low);
  }

  chance(share: number): boolean {
    return this.unit() < share;
  }

  /** @throws when there is nothing to pick from */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError("nothing to pick from");
    return items[this.below(items.length)]!;
  }
}

function rotated(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** FNV-1a. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}

/** The last rounds of splitmix32: near seeds begin with far numbers. */
function finalized(word: number): number {
  let mixed = word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
