/** @file I9: what should count against each task, kept apart from what production counts. */
import type { FarmEvent } from "../../coordinator/plan/events.js";
import { type Farm, recordOf } from "../../coordinator/plan/farm-state.js";
import { refusalOf } from "../../coordinator/plan/node-machine.js";
import { membersOf } from "../../coordinator/plan/task.js";
import { type Failure, isSpent } from "./farm-checks.js";
import { hold } from "./violation.js";

type Granted = Extract<FarmEvent, { kind: "task-granted" }>;

export class Budgets {
  /** By task, since its last reset. */
  readonly #failures = new Map<string, Failure[]>();
  readonly #count: (what: string) => void;

  constructor(count: (what: string) => void) {
    this.#count = count;
  }

  /** The task was reset. */
  forget(taskId: string): void {
    this.#failures.delete(taskId);
  }

  /** What an event should do to the budgets, from the state before it. */
  expect(farm: Farm, event: FarmEvent, isCurrent: boolean): void {
    switch (event.kind) {
      case "task-failed":
        if (isCurrent)
          this.#blame(event.taskId, { nodeId: event.nodeId, code: event.failure.code });
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

  #blameLoss(farm: Farm, nodeId: string): void {
    const node = farm.nodes.get(nodeId);
    for (const taskId of [node?.gpuTaskId, node?.muxTaskId]) {
      const task = taskId ? farm.tasks.get(taskId) : undefined;
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
    for (const [taskId, failures] of this.#failures) {
      const task = farm.tasks.get(taskId);
      if (!task) continue;
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
        // One that no node has memory for fails at once.
        const isTooBig = failures.at(-1)?.code === "out-of-memory";
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
}

function describe(failures: readonly Failure[]): string {
  return failures.map(({ nodeId, code }) => `${code} on ${nodeId}`).join(", ") || "no failure";
}
