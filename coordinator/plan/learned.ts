/**
 * @file How long work takes here and how much memory it needs, learned from what finished and what
 * failed: the only source of every estimate.
 */
import type { ClipParameters } from "../../shared/farm/parameters.js";
import type { Stage } from "../../shared/farm/work.js";
import { LEARNED_KINDS_MAX, MEMORY_REMEMBERED_MS } from "./limits.js";

/** Weight of the newest measurement in the running mean: a changed machine shows after a few tasks. */
const NEWEST_WEIGHT = 0.3;

/** What the duration of a piece of work depends on. */
export interface WorkKind {
  readonly modelDigest: string;
  readonly provider: string;
  readonly stage: Stage;
  readonly parameters: Pick<ClipParameters, "height" | "width" | "numFrames">;
  /** decode: frames of the chunk. */
  readonly chunkFrames: number;
  /** denoise: seconds of a step under this plan. */
  readonly plan: "single" | "pair";
}

/** What is known of the memory that work of one shape needs. */
export interface MemoryKnown {
  /** Most memory, in bytes, of a node that had too little; null: it never was too little. */
  readonly tooLittle: number | null;
  /** Least memory, in bytes, of a node that had enough; null: nothing of the shape has finished. */
  readonly enough: number | null;
  /** When it last was too little, milliseconds since 1970. */
  readonly atMs: number;
}

/** Keeps the most recently measured kinds; the others are forgotten. */
export class Learned {
  readonly #seconds: Map<string, number>;
  readonly #memory: Map<string, MemoryKnown>;

  constructor(
    seconds: Iterable<readonly [string, number]> = [],
    memory: Iterable<readonly [string, MemoryKnown]> = [],
  ) {
    this.#seconds = new Map(seconds);
    this.#memory = new Map(memory);
  }

  /** @param seconds of a step for denoise, else of the whole task */
  record(kind: WorkKind, seconds: number): void {
    const key = keyOf(kind);
    const before = this.#seconds.get(key) ?? seconds;
    put(this.#seconds, key, before + NEWEST_WEIGHT * (seconds - before));
  }

  /** Null until something of the kind has finished. */
  secondsOf(kind: WorkKind): number | null {
    return this.#seconds.get(keyOf(kind)) ?? null;
  }

  /** Work of the kind ran out of memory on a node with so many bytes. */
  hadTooLittle(kind: WorkKind, bytes: number, atMs: number): void {
    const { tooLittle, enough } = this.#known(kind);
    const most = Math.max(tooLittle ?? 0, bytes);
    put(this.#memory, memoryKeyOf(kind), { tooLittle: most, enough, atMs });
  }

  /** Work of the kind finished on a node with so many bytes. */
  hadEnough(kind: WorkKind, bytes: number): void {
    const { tooLittle, enough, atMs } = this.#known(kind);
    if (enough !== null && enough <= bytes) return;
    const isStill = tooLittle !== null && tooLittle < bytes;
    put(this.#memory, memoryKeyOf(kind), {
      tooLittle: isStill ? tooLittle : null,
      enough: bytes,
      atMs,
    });
  }

  /** Whether work of the kind has finished on a node with no more bytes than these. */
  isKnownToFit(kind: WorkKind, bytes: number): boolean {
    const { enough } = this.#known(kind);
    return enough !== null && enough <= bytes;
  }

  /** Bytes that lately were too few for work of the kind; null when none are known to be. */
  tooLittleFor(kind: WorkKind, nowMs: number): number | null {
    const { tooLittle, atMs } = this.#known(kind);
    return Math.abs(nowMs - atMs) < MEMORY_REMEMBERED_MS ? tooLittle : null;
  }

  /** Seconds by kind. */
  entries(): IterableIterator<[string, number]> {
    return this.#seconds.entries();
  }

  /** What is known of memory, by shape. */
  memoryEntries(): IterableIterator<[string, MemoryKnown]> {
    return this.#memory.entries();
  }

  #known(kind: WorkKind): MemoryKnown {
    // Nearly always nothing is known, and making the key costs more than the look.
    if (this.#memory.size === 0) return NOTHING_KNOWN;
    return this.#memory.get(memoryKeyOf(kind)) ?? NOTHING_KNOWN;
  }
}

const NOTHING_KNOWN: MemoryKnown = { tooLittle: null, enough: null, atMs: 0 };

/** What the graph of a piece of work goes by, on whatever node. */
export function shapeOf({ stage, chunkFrames, parameters }: WorkKind): string {
  const { height, width, numFrames } = parameters;
  return `${stage}/${stage === "decode" ? chunkFrames : numFrames}x${height}x${width}`;
}

function keyOf(kind: WorkKind): string {
  const { modelDigest, provider, stage, plan } = kind;
  return [modelDigest, provider, shapeOf(kind), stage === "denoise" ? plan : ""].join("/");
}

function memoryKeyOf(kind: WorkKind): string {
  return `${kind.modelDigest}/${shapeOf(kind)}`;
}

/** The newest goes last, and the oldest goes when there are too many. */
function put<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > LEARNED_KINDS_MAX && oldest !== undefined) map.delete(oldest);
}
