/** @file I9: what should count against each task, kept apart from what production counts. */
import type { FarmEvent } from "../../coordinator/plan/events.js";
import { type Farm, recordOf } from "../../coordinator/plan/farm-state.js";
import { REMAKES_MAX } from "../../coordinator/plan/limits.js";
import { tasksHeld } from "../../coordinator/plan/node.js";
import { refusalOf } from "../../coordinator/plan/node-machine.js";
import { membersOf } from "../../coordinator/plan/task.js";
import { type Failure, isSpent } from "./farm-checks.js";
import { hold } from "./violation.js";

type Failed = Extract<FarmEvent, { kind: "task-failed" }>;
type Granted = Extract<FarmEvent, { kind: "task-granted" }>;

/** Two tasks, of which the second has to make something again before the first can go on. */
interface Spared {
  readonly readerId: string;
  /** Null: it was asked to already. */
  readonly makerId: string | null;
}

export class Budgets {
  /** By task, since its last reset. */
  readonly #failures = new Map<string, Failure[]>();
  /** Tasks for which no bigger node came. */
  readonly #givenUp = new Set<string>();
  /** By clip and run. */
  readonly #remakes = new Map<string, number>();
  /** Who has to wait for whom, by the event just taken in. */
  #spared: Spared | null = null;
  readonly #count: (what: string) => void;

  constructor(count: (what: string) => void) {
    this.#count = count;
  }

  /** The task was reset. */
  forget(taskId: string): void {
    this.#failures.delete(taskId);
    this.#givenUp.delete(taskId);
  }

  /** What an event should do to the budgets, from the state before it. */
  expect(farm: Farm, event: FarmEvent, isCurrent: boolean): void {
    this.#spared = null;
    switch (event.kind) {
      case "task-failed":
        if (!isCurrent) return;
        this.#spared = this.#spare(farm, event);
        if (!this.#spared)
          this.#blame(event.taskId, { nodeId: event.nodeId, code: event.failure.code });
        return;
      case "task-given-up":
        this.#givenUp.add(event.taskId);
        return;
      case "node-left": {
        const isThis = farm.nodes.get(event.nodeId)?.info.bootId === event.bootId;
        if (isThis && !event.stopped) this.#blameLoss(farm, event.nodeId);
        return;
      }
      case "node-joined":
        this.#blameLoss(farm, event.node.nodeId);
        return;
      default:
    }
  }

  /** A reader is not to blame for what another task of its clip has made and the store has lost. */
  #spare(farm: Farm, { taskId: readerId, failure, blobKey }: Failed): Spared | null {
    if (failure.code !== "blob-corrupt" && failure.code !== "blob-missing") return null;
    const { jobId, clipIndex, stage } = farm.tasks.get(readerId)!;
    if (stage === "condition") return null;
    const clip = farm.jobs.get(jobId)!.clips[clipIndex]!;
    const before = clip.taskIds
      .slice(0, clip.taskIds.indexOf(readerId))
      .map((taskId) => farm.tasks.get(taskId)!)
      .filter((task) => task.stage !== stage);
    if (before.some(({ state }) => state.kind !== "done")) return { readerId, makerId: null };
    const maker = before.find(
      ({ state }) => state.kind === "done" && state.result.blob?.key === blobKey,
    );
    const run = `${jobId}-${clipIndex} ${clip.run}`;
    const times = this.#remakes.get(run) ?? 0;
    if (!maker || times >= REMAKES_MAX) return null;
    this.#remakes.set(run, times + 1);
    this.forget(maker.taskId);
    this.#count("result made again");
    return { readerId, makerId: maker.taskId };
  }

  #blameLoss(farm: Farm, nodeId: string): void {
    const node = farm.nodes.get(nodeId);
    for (const taskId of node ? tasksHeld(node) : []) {
      const task = farm.tasks.get(taskId);
      const isAlone = task && membersOf(task).length === 1;
      if (isAlone) this.#blame(task.taskId, { nodeId, code: "unreachable" });
    }
  }

  #blame(taskId: string, failure: Failure): void {
    this.#count(`failure ${failure.code}`);
    this.#failures.set(taskId, [...(this.#failures.get(taskId) ?? []), failure]);
  }

  /** A task goes back to a node where it failed only while no other one could have it. */
  checkGrant(farm: Farm, { taskId, members, atMs }: Granted): void {
    const failed = new Set((this.#failures.get(taskId) ?? []).map(({ nodeId }) => nodeId));
    const again = members.find(({ nodeId }) => failed.has(nodeId));
    if (!again) return;
    const other = [...farm.nodes.values()].find(({ info, stopping }) => {
      const refusal = refusalOf(recordOf(farm, info.nodeId), atMs);
      return !stopping && refusal === null && !failed.has(info.nodeId);
    });
    const at = () => `${taskId} goes back to ${again.nodeId}, where it failed`;
    hold(other === undefined, "I9", () => `${at()}, and not to ${other?.info.nodeId}`);
  }

  /** @throws Violation when a task counts something else */
  check(farm: Farm): void {
    this.#checkSpared(farm);
    for (const [taskId, failures] of this.#failures) {
      const task = farm.tasks.get(taskId);
      // The loss of a node may end a job by one of its tasks before it comes to the other.
      if (!task || task.state.kind === "cancelled") continue;
      const count = task.failures.length;
      hold(
        count === failures.length,
        "I9",
        () => `${taskId} counts ${count} failures, not ${failures.length}`,
      );
      const spent = isSpent(failures);
      const open = task.state.kind === "ready" || task.state.kind === "granted";
      hold(!(spent && open), "I9", () => `${taskId} goes on after ${describe(failures)}`);
    }
    for (const task of farm.tasks.values()) {
      if (task.state.kind === "failed") {
        const failures = this.#failures.get(task.taskId) ?? [];
        // One that no node has memory for fails at once, or after a wait for a bigger one.
        const isGivenUp = this.#givenUp.has(task.taskId);
        const isTooBig = isGivenUp
          ? failures.some(({ code }) => code === "out-of-memory")
          : failures.at(-1)?.code === "out-of-memory";
        hold(
          isTooBig || isSpent(failures),
          "I9",
          () => `${task.taskId} failed after ${describe(failures)}`,
        );
      } else if (task.failures.length > 0) {
        const known = this.#failures.has(task.taskId);
        hold(
          known,
          "I9",
          () => `${task.taskId} counts ${describe(task.failures)}, none was its own`,
        );
      }
    }
  }

  #checkSpared(farm: Farm): void {
    if (!this.#spared) return;
    const { readerId, makerId } = this.#spared;
    const kindOf = (taskId: string) => farm.tasks.get(taskId)?.state.kind;
    const reader = kindOf(readerId);
    hold(reader === "blocked", "I9", () => `${readerId} could not read, and is ${reader}`);
    const maker = makerId && kindOf(makerId);
    hold(
      maker === null || maker === "ready" || maker === "blocked",
      "I9",
      () => `${makerId} made what ${readerId} could not read, and is ${maker}`,
    );
  }
}

function describe(failures: readonly Failure[]): string {
  return failures.map(({ nodeId, code }) => `${code} on ${nodeId}`).join(", ") || "no failure";
}
