/** @file Results that cannot be read: whoever made one makes it again. */
import type { FarmErrorCode } from "../../shared/core/errors.js";
import type { FarmEffect, FarmEvent } from "./events.js";
import type { Farm } from "./farm-state.js";
import { changeTask } from "./farm-tasks.js";
import { jobById, setClip, taskById, tasksOf } from "./job-machine.js";
import { REMAKES_MAX } from "./limits.js";
import { isCurrent, type Task } from "./task.js";
import { inputsOf, isFed } from "./task-graph.js";

type TaskFailed = Extract<FarmEvent, { readonly kind: "task-failed" }>;

const UNREADABLE: ReadonlySet<FarmErrorCode> = new Set(["blob-missing", "blob-corrupt"]);

/**
 * A task that could not read what another one of its clip has made waits until that is made again,
 * and loses no attempt. Blobs have the epoch in their names, so the new one lies elsewhere.
 *
 * @returns null where this is a failure like any other: a picture or a step checkpoint that cannot be
 *   read, or a clip whose results were made again often enough
 */
export function remakeInput(farm: Farm, failed: TaskFailed): FarmEffect[] | null {
  const { taskId, nodeId, epoch, failure, blobKey, atMs } = failed;
  const by = { nodeId, epoch };
  const reader = taskById(farm, taskId);
  if (!UNREADABLE.has(failure.code) || !isCurrent(reader, by)) return null;
  const clip = jobById(farm, reader.jobId).clips[reader.clipIndex]!;
  const inputs = inputsOf(reader, tasksOf(farm, clip));
  const maker = inputs.find((task) => resultKeyOf(task) === blobKey && blobKey !== undefined);
  // Another reader of the same result may have come first.
  const isUnderWay = inputs.some(({ state }) => state.kind !== "done");
  if (!isUnderWay && (!maker || clip.remakes >= REMAKES_MAX)) return null;

  const lost = changeTask(farm, taskId, { kind: "input-lost", by, atMs });
  if (!maker || isUnderWay) return lost;
  setClip(farm, reader.jobId, clip.index, { remakes: clip.remakes + 1 });
  const again = changeTask(farm, maker.taskId, { kind: "result-lost", atMs });
  const now = tasksOf(farm, clip);
  const starved = now.filter((task) => task.state.kind === "ready" && !isFed(task, now));
  const waiting = starved.flatMap((task) =>
    changeTask(farm, task.taskId, { kind: "input-lost", by: null, atMs }),
  );
  return [...lost, ...again, ...waiting];
}

function resultKeyOf({ state }: Task): string | undefined {
  return state.kind === "done" ? state.result.blob?.key : undefined;
}
