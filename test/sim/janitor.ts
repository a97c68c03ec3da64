/** @file What removes garbage from the store: mirrors `coordinator/shell/janitor.ts` in virtual time. */
import type { SimLoop } from "./coordinator.js";
import { checkRemoval } from "./ownership.js";
import type { SimProcess } from "./process.js";
import { type World, wallMs } from "./world.js";

export class SimJanitor {
  readonly #world: World;
  readonly #process: SimProcess;
  #claimed = new Map<string, number>();
  #going = new Set<string>();

  constructor(world: World, process: SimProcess) {
    this.#world = world;
    this.#process = process;
  }

  /** With the process; what it knew before is forgotten. */
  start(loop: SimLoop): void {
    this.#claimed = new Map();
    this.#going = new Set();
    const { cleaning } = this.#world;
    if (!cleaning) return;
    const again = () => this.#process.after(cleaning.pauseMs, clean);
    const clean = () => {
      again();
      this.#collect(loop, cleaning.sparedMs);
    };
    again();
  }

  /** @returns what ends the claim; null while one of them is being removed */
  claim(keys: readonly string[]): (() => void) | null {
    if (keys.some((key) => this.#going.has(key))) return null;
    const claimed = this.#claimed;
    const add = (count: number) => {
      for (const key of keys) claimed.set(key, (claimed.get(key) ?? 0) + count);
    };
    add(1);
    return () => add(-1);
  }

  #collect(loop: SimLoop, sparedMs: number): void {
    const { core, store } = this.#world;
    const nowMs = wallMs(this.#world);
    const isOrphan = core.orphanTest(loop.farm);
    const ageMs = (key: string) => Math.abs(nowMs - (store.putAtMs.get(key) ?? nowMs));
    const isOld = (key: string) => ageMs(key) >= sparedMs;
    const listed = this.#process.guard(() => {
      // The listing began a while ago, and saw the farm as it was.
      const orphans = [...store.blobs.keys()].filter((key) => isOld(key) && isOrphan(key));
      if (core.asksBeforeRemoval) loop.settled(() => this.#removeAll(loop, orphans));
      else this.#removeAll(loop, orphans);
    });
    this.#process.after(3, listed);
  }

  #removeAll(loop: SimLoop, orphans: readonly string[]): void {
    const [key, ...rest] = orphans;
    if (key === undefined) return;
    const next = this.#process.guard(() => this.#removeAll(loop, rest));
    const { core, store, oracle } = this.#world;
    const isClaimed = (this.#claimed.get(key) ?? 0) > 0;
    const isWanted = isClaimed || !core.orphanTest(loop.farm)(key);
    if (this.#going.has(key) || (core.asksBeforeRemoval && isWanted)) {
      oracle.count("orphan found an owner");
      this.#removeAll(loop, rest);
      return;
    }
    const going = this.#going;
    going.add(key);
    const process = this.#process;
    const { generation } = process;
    oracle.count("orphan removed");
    checkRemoval(oracle.durable, key);
    store.removeWhere(
      "coordinator",
      // A system call ends with its process: what was not removed by then stays.
      (other) => other === key && process.alive && process.generation === generation,
      () => {
        going.delete(key);
        next();
      },
    );
  }
}
