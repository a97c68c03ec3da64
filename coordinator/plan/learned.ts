/** @file How long work takes here, learned from what finished: the only source of every estimate. */
import type { ClipParameters } from "../../shared/farm/parameters.js";
import type { Stage } from "../../shared/farm/work.js";

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

export class Learned {
  readonly #seconds: Map<string, number>;

  constructor(entries: Iterable<readonly [string, number]> = []) {
    this.#seconds = new Map(entries);
  }

  /** @param seconds of a step for denoise, else of the whole task */
  record(kind: WorkKind, seconds: number): void {
    const key = keyOf(kind);
    const before = this.#seconds.get(key) ?? seconds;
    this.#seconds.set(key, before + NEWEST_WEIGHT * (seconds - before));
  }

  /** Null until something of the kind has finished. */
  secondsOf(kind: WorkKind): number | null {
    return this.#seconds.get(keyOf(kind)) ?? null;
  }

  entries(): IterableIterator<[string, number]> {
    return this.#seconds.entries();
  }
}

function keyOf(kind: WorkKind): string {
  const { modelDigest, provider, stage, chunkFrames, plan } = kind;
  const { height, width, numFrames } = kind.parameters;
  const frames = stage === "decode" ? chunkFrames : numFrames;
  const of = stage === "denoise" ? plan : "";
  return [modelDigest, provider, stage, `${frames}x${height}x${width}`, of].join("/");
}
