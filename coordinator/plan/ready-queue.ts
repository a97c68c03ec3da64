/**
 * @file Tasks that could start now, in the order in which they should be placed.
 *
 * Higher priority first; within a priority the owner who holds the fewest accelerators now; of an
 * owner's tasks the one nearest to a finished clip; of equals the one that became ready first.
 * Adding and removing cost the same whatever the length of the queue.
 */
import type { Stage } from "../../shared/farm/work.js";

/** Finishing comes first, so clips leave the farm as early as they can. */
const STAGE_ORDER: readonly Stage[] = ["mux", "decode", "denoise", "condition"];

export interface ReadyTask {
  readonly taskId: string;
  readonly stage: Stage;
  readonly owner: string;
  /** 0..100. */
  readonly priority: number;
}

/** An owner's tasks by stage, each in the order in which they came. */
type OwnerQueue = Map<Stage, Map<string, ReadyTask>>;

export class ReadyQueue {
  readonly #places = new Map<string, ReadyTask>();
  /** Priority -> owner -> tasks. */
  readonly #levels = new Map<number, Map<string, OwnerQueue>>();

  get size(): number {
    return this.#places.size;
  }

  /** How many wait at a stage. */
  countStage(stage: Stage): number {
    let count = 0;
    for (const owners of this.#levels.values()) {
      for (const queue of owners.values()) count += queue.get(stage)?.size ?? 0;
    }
    return count;
  }

  add(task: ReadyTask): void {
    this.remove(task.taskId);
    this.#places.set(task.taskId, task);
    const owners = getOrMake(this.#levels, task.priority, () => new Map<string, OwnerQueue>());
    const queue = getOrMake(owners, task.owner, () => new Map() as OwnerQueue);
    getOrMake(queue, task.stage, () => new Map<string, ReadyTask>()).set(task.taskId, task);
  }

  remove(taskId: string): void {
    const task = this.#places.get(taskId);
    if (!task) return;
    this.#places.delete(taskId);
    const owners = this.#levels.get(task.priority)!;
    const queue = owners.get(task.owner)!;
    const waiting = queue.get(task.stage)!;
    waiting.delete(taskId);
    if (waiting.size === 0) queue.delete(task.stage);
    if (queue.size === 0) owners.delete(task.owner);
    if (owners.size === 0) this.#levels.delete(task.priority);
  }

  /** Every waiting task, in an order in which adding them one by one makes an equal queue. */
  *taskIds(): Generator<string> {
    for (const owners of this.#levels.values()) {
      for (const queue of owners.values()) {
        for (const waiting of queue.values()) yield* waiting.keys();
      }
    }
  }

  /** Priorities at which tasks wait, the highest first. */
  priorities(): number[] {
    return [...this.#levels.keys()].sort((a, b) => b - a);
  }

  /**
   * Every waiting task in order. The caller counts what it places, so that an owner who is given
   * an accelerator falls back behind the others.
   *
   * @param heldBy     accelerators that an owner holds now
   * @param priorities only tasks of these, in this order
   */
  *inOrder(
    heldBy: (owner: string) => number,
    priorities: readonly number[] = this.priorities(),
  ): Generator<ReadyTask> {
    for (const priority of priorities) {
      const owners = this.#levels.get(priority);
      if (owners) yield* fairly(owners, heldBy);
    }
  }
}

/** Takes from the owner with the fewest, one task at a time; of equals the one who came first. */
function* fairly(
  owners: ReadonlyMap<string, OwnerQueue>,
  heldBy: (owner: string) => number,
): Generator<ReadyTask> {
  const lines = [...owners].map(([owner, queue]) => {
    const rest = byStage(queue);
    return { owner, rest, head: rest.next() };
  });
  for (;;) {
    let next: (typeof lines)[number] | null = null;
    for (const line of lines) {
      if (line.head.done) continue;
      if (next === null || heldBy(line.owner) < heldBy(next.owner)) next = line;
    }
    if (next === null || next.head.done) return;
    yield next.head.value;
    next.head = next.rest.next();
  }
}

function* byStage(queue: OwnerQueue): Generator<ReadyTask, undefined> {
  for (const stage of STAGE_ORDER) yield* queue.get(stage)?.values() ?? [];
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
