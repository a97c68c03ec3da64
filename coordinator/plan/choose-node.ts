/** @file Which nodes can do a task, and which of them should: pure choices between values. */
import type { NodePreference, Stage } from "../../shared/farm/work.js";
import type { Farm } from "./farm-state.js";
import type { Job } from "./job.js";
import { shapeOf } from "./learned.js";
import { PAIR_APART_MS } from "./limits.js";
import type { Node } from "./node.js";
import type { Task } from "./task.js";
import { workKindOf } from "./work-kind.js";

/** Whether a node can do a task at all, whatever it does now. */
export function canRun(node: Node, job: Job, task: Task): boolean {
  const { model, memoryBytes, hasFfmpeg } = node.info;
  if (model.digest !== job.modelDigest) return false;
  if (task.memoryAboveBytes !== null && memoryBytes <= task.memoryAboveBytes) return false;
  const needsFfmpeg = task.stage === "mux" && job.parameters.formats.includes("mp4");
  return hasFfmpeg || !needsFfmpeg;
}

/** Whether a task has failed on a node since it was created or retried. */
export function hasFailedOn(task: Task, nodeId: string): boolean {
  return task.failures.some((failure) => failure.nodeId === nodeId);
}

/**
 * The nodes that should do a task, the best first: one where it has not failed, one that prefers such
 * work, the fastest at it (or one that was never measured), one that has its graph at hand.
 *
 * Nodes on which work of its shape lately ran out of memory are left out while the farm has a bigger
 * one, also a busy one: the task would only fail there. So are those where the task has failed
 * already while the farm has another one: a bad node is free again at once, and would have every try.
 *
 * @param free nodes to choose from
 * @param all  nodes that may have work now or later
 */
export function rankNodes(
  farm: Farm,
  { job, task }: { readonly job: Job; readonly task: Task },
  { free, all, nowMs }: { free: Iterable<Node>; all: readonly Node[]; nowMs: number },
): Node[] {
  const able = [...free].filter((node) => canRun(node, job, task));
  if (able.length === 0) return able;
  const kind = workKindOf(job, task, { provider: "" });
  const tooLittle = farm.learned.tooLittleFor(kind, nowMs);
  const isBig = (node: Node) => tooLittle === null || node.info.memoryBytes > tooLittle;
  const isUntried = (node: Node) => !hasFailedOn(task, node.info.nodeId);
  const others = task.failures.length > 0 || tooLittle !== null ? all : [];
  const preferred = [(n: Node) => isBig(n) && isUntried(n), isBig, isUntried].find((isGood) =>
    others.some((node) => isGood(node) && canRun(node, job, task)),
  );
  const fitting = preferred ? able.filter(preferred) : able;
  if (fitting.length < 2) return fitting;
  const shape = shapeOf(kind);
  // Thousands of nodes have a handful of providers.
  const secondsBy = new Map<string, number>();
  for (const { info } of fitting) {
    const { provider } = info;
    if (secondsBy.has(provider)) continue;
    secondsBy.set(provider, farm.learned.secondsOf({ ...kind, provider }) ?? 0);
  }
  const ranks = new Map(
    fitting.map((node) => {
      const { provider, prefers } = node.info;
      const seconds = secondsBy.get(provider)!;
      const isCold = node.lastShape !== shape;
      const misfit = misfitOf(prefers, task.stage);
      return [node, [Number(!isUntried(node)), misfit, seconds, Number(isCold)]];
    }),
  );
  return fitting.sort((a, b) => compare(ranks.get(a)!, ranks.get(b)!));
}

/** 0: it prefers such work, 1: it has no preference for or against it, 2: it prefers other work. */
export function misfitOf(prefers: NodePreference, stage: Stage): 0 | 1 | 2 {
  if (prefers === stage) return 0;
  return prefers === "any" || stage === "condition" || stage === "mux" ? 1 : 2;
}

/** The best two nodes whose runs give equal bytes, or null. */
export function findPair(ranked: readonly Node[], nowMs: number): [Node, Node] | null {
  for (const first of ranked) {
    const second = ranked.find((n) => n !== first && canPair(first, n, nowMs));
    if (second) return [first, second];
  }
  return null;
}

/** Whether the runs of two nodes give equal bytes, and their halves reached each other lately. */
export function canPair(a: Node, b: Node, nowMs: number): boolean {
  const isApart = (from: Node, to: Node) =>
    from.apart.some(
      ({ nodeId, atMs }) => nodeId === to.info.nodeId && nowMs - atMs < PAIR_APART_MS,
    );
  return a.info.planHash === b.info.planHash && !(isApart(a, b) && isApart(b, a));
}

/** The first difference decides; equals keep their order. */
function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}
