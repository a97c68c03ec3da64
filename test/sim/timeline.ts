/** @file Virtual time: entries in the order of their time, and of a drawn number where times are equal. */
import type { CancelTimer, Clock } from "../../shared/ports/clock.js";
import type { Random } from "./random.js";

/** A power of two, so that sums and differences of times are exact. */
const TICKS_PER_MS = 1_024;
/** The least time there is. */
export const TICK_MS = 1 / TICKS_PER_MS;

interface Entry {
  readonly atMs: number;
  readonly tie: number;
  act: (() => void) | null;
}

export class Timeline implements Clock {
  readonly #random: Random;
  /** A binary heap, the earliest first. */
  readonly #heap: Entry[] = [];
  #nowMs = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  /** Entries that wait, those taken back included until their time. */
  get size(): number {
    return this.#heap.length;
  }

  after(delayMs: number, act: () => void): CancelTimer {
    const atMs = this.#nowMs + Math.ceil(Math.max(0, delayMs) * TICKS_PER_MS) / TICKS_PER_MS;
    const entry: Entry = { atMs, tie: this.#random.next(), act };
    this.#push(entry);
    return () => {
      entry.act = null;
    };
  }

  /** Carries out the next entry; false when there is none. */
  step(): boolean {
    for (let entry = this.#pop(); entry; entry = this.#pop()) {
      if (entry.act === null) continue;
      this.#nowMs = entry.atMs;
      entry.act();
      return true;
    }
    return false;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(entry, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (heap.length === 0 || last === undefined) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.tie < b.tie);
}
