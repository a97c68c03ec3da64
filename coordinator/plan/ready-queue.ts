/**
 * @file Tasks that could start now, in the order in which they should be placed.
 *
 * Higher priority first; within a priority the stage nearest to a finished clip; within a stage the
 * owner who holds the fewest accelerators now; within an owner the task that became ready first.
 * Adding and removing cost the same whatever the length of the queue.
 */
import type { Stage } from "../../shared/farm/work.js";

/** Finishing comes first, so clips leave the farm as early as they can. */
export const STAGE_ORDER: readonly Stage[] = ["mux", "decode", "denoise", "condition"];

export interface ReadyTask {
  readonly taskId: string;
  readonly stage: Stage;
  readonly owner: string;
  /** 0..100. */
  readonly priority: number;
}

type OwnerQueues = Map<string, Map<string, ReadyTask>>;

export class ReadyQueue {
  readonly #places = new Map<string, ReadyTask>();
  /** Priority -> stage -> owner -> tasks in the order in which they came. */
  readonly #levels = new Map<number, Map<Stage, OwnerQueues>>();

  get size(): number {
    return this.#places.size;
  }

  /** How many wait at a stage. */
  countStage(stage: Stage): number {
    let count = 0;
    for (const level of this.#levels.values()) {
      for (const queue of level.get(stage)?.values() ?? []) count += queue.size;
    }
    return count;
  }

  add(task: ReadyTask): void {
    this.remove(task.taskId);
    this.#places.set(task.taskId, task);
    const level = getOrMake(this.#levels, task.priority, () => new Map<Stage, OwnerQueues>());
    const owners = getOrMake(level, task.stage, () => new Map() as OwnerQueues);
    getOrMake(owners, task.owner, () => new Map<string, ReadyTask>()).set(task.taskId, task);
  }

  remove(taskId: string): void {
    const task = this.#places.get(taskId);
    if (!task) return;
    this.#places.delete(taskId);
    const level = this.#levels.get(task.priority)!;
    const owners = level.get(task.stage)!;
    const queue = owners.get(task.owner)!;
    queue.delete(taskId);
    if (queue.size === 0) owners.delete(task.owner);
    if (owners.size === 0) level.delete(task.stage);
    if (level.size === 0) this.#levels.delete(task.priority);
  }

  /**
   * Every waiting task in order. The caller counts what it places, so that an owner who is given
   * an accelerator falls back behind the others.
   *
   * @param heldBy accelerators that an owner holds now
   */
  *inOrder(heldBy: (owner: string) => number): Generator<ReadyTask> {
    const priorities = [...this.#levels.keys()].sort((a, b) => b - a);
    for (const priority of priorities) {
      const level = this.#levels.get(priority)!;
      for (const stage of STAGE_ORDER) {
        const owners = level.get(stage);
        if (owners) yield* fairly(owners, heldBy);
      }
    }
  }
}

/** Takes from the owner with the fewest, one task at a time; of equals the one who came first. */
function* fairly(owners: OwnerQueues, heldBy: (owner: string) => number): Generator<ReadyTask> {
  const lines = [...owners].map(([owner, queue]) => {
    const rest = queue.values();
    return { owner, rest, head: rest.next() };
  });
  for (;;) {
    let next: (typeof lines)[number] | null = null;
    for (const line of lines) {
      if (line.head.done) continue;
      if (next === null || heldBy(line.owner) < heldBy(next.owner)) next = line;
    }
    if (next?.head.value === undefined) return;
    yield next.head.value;
    next.head = next.rest.next();
  }
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
