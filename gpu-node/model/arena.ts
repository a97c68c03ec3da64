/**
 * @file How much memory an engine's arena takes for a known row of allocations.
 *
 * An arena asks the system for regions, each twice as large as the one before, cuts chunks from them,
 * and gives nothing back; a chunk that is less than twice as large as what is asked for is not cut.
 *
 * @source onnxruntime core/framework/bfc_arena.cc, arena_extend_strategy kNextPowerOfTwo
 */
import { assert } from "../../shared/core/assert.js";

/** Sizes are rounded up to a multiple of this. */
const ALIGNMENT = 256;
const FIRST_REGION_BYTES = 2 ** 20;
/** A chunk is cut when more than this would be wasted, however large it is. */
const DEAD_BYTES_MAX = 128 * 2 ** 20;
/** What is touched is counted in so many pieces of a region at the most, of no less than a page. */
const PIECES_MAX = 2 ** 14;
const PAGE_BYTES = 2 ** 12;

interface Chunk {
  readonly region: number;
  start: number;
  size: number;
  free: boolean;
}

export class Arena {
  /** In the order of their addresses; neighbours of one region are never both free. */
  readonly #chunks: Chunk[] = [];
  /** A byte a piece of each region: whether anything was ever written there. */
  readonly #regions: { readonly pieceBytes: number; readonly touched: Uint8Array }[] = [];
  readonly #held = new Map<string, Chunk>();
  #regionBytes = FIRST_REGION_BYTES;

  /** @param name of what is held until `free(name)` */
  allocate(name: string, bytes: number): void {
    assert(!this.#held.has(name), `${name} to be allocated once`);
    const size = Math.max(ALIGNMENT, Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);
    const chunk = this.#smallestFit(size) ?? this.#extend(size);
    if (chunk.size >= 2 * size || chunk.size - size >= DEAD_BYTES_MAX) this.#cut(chunk, size);
    chunk.free = false;
    this.#held.set(name, chunk);
    const { pieceBytes, touched } = this.#regions[chunk.region]!;
    const first = Math.floor(chunk.start / pieceBytes);
    touched.fill(1, first, Math.ceil((chunk.start + size) / pieceBytes));
  }

  free(name: string): void {
    const chunk = this.#held.get(name);
    assert(chunk !== undefined, `${name} to be held`);
    this.#held.delete(name);
    chunk.free = true;
    const at = this.#chunks.indexOf(chunk);
    this.#merge(at);
    this.#merge(at - 1);
  }

  /** Bytes that were ever written to: what the process holds from then on. */
  get touchedBytes(): number {
    return this.#regions.reduce(
      (sum, { pieceBytes, touched }) =>
        sum + pieceBytes * touched.reduce((count, piece) => count + piece, 0),
      0,
    );
  }

  #smallestFit(size: number): Chunk | null {
    let best: Chunk | null = null;
    for (const chunk of this.#chunks) {
      if (chunk.free && chunk.size >= size && (best === null || chunk.size < best.size)) {
        best = chunk;
      }
    }
    return best;
  }

  #extend(size: number): Chunk {
    const wasLarge = this.#regionBytes >= size;
    while (this.#regionBytes < size) this.#regionBytes *= 2;
    const region = this.#regions.length;
    const chunk = { region, start: 0, size: this.#regionBytes, free: true };
    const pieceBytes = Math.max(PAGE_BYTES, this.#regionBytes / PIECES_MAX);
    this.#regions.push({ pieceBytes, touched: new Uint8Array(this.#regionBytes / pieceBytes) });
    this.#chunks.push(chunk);
    if (wasLarge) this.#regionBytes *= 2;
    return chunk;
  }

  #cut(chunk: Chunk, size: number): void {
    const { region, start } = chunk;
    const rest = { region, start: start + size, size: chunk.size - size, free: true };
    chunk.size = size;
    this.#chunks.splice(this.#chunks.indexOf(chunk) + 1, 0, rest);
  }

  /** Joins a chunk with the one behind it, where both are free. */
  #merge(at: number): void {
    const [chunk, next] = [this.#chunks[at], this.#chunks[at + 1]];
    if (!chunk?.free || !next?.free || chunk.region !== next.region) return;
    chunk.size += next.size;
    this.#chunks.splice(at + 1, 1);
  }
}
