/** @file A node's log lines on its tasks, each with all the ids by which people look for it. */
import type { Logger } from "pino";
import { assertNever } from "../../shared/core/assert.js";
import { parseTraceparent } from "../../shared/core/trace-context.js";
import type { TaskAssignment, TaskReport } from "../../shared/farm/work.js";
import type { TaskOrder } from "./node-link.js";

/** Of one task; a line names its epoch itself, since a grant may change it. */
export interface TaskFields {
  readonly job_id?: string;
  readonly clip_id?: string;
  readonly task_id: string;
  readonly stage?: string;
  readonly attempt?: number;
  readonly trace_id?: string;
}

/** Tasks whose ids are remembered; a node holds two, and orders may come for some that have ended. */
const TASKS_MAX = 64;

export class TaskLog {
  readonly #log: Logger;
  readonly #fields = new Map<string, TaskFields>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** For other lines on a task; of one that was never assigned here, its id alone. */
  fieldsOf(taskId: string): TaskFields {
    return this.#fields.get(taskId) ?? { task_id: taskId };
  }

  order(order: TaskOrder): void {
    switch (order.kind) {
      case "assign": {
        this.#remember(order.assignment);
        const { taskId, epoch } = order.assignment;
        this.#log.info({ ...this.fieldsOf(taskId), epoch }, "task assigned");
        return;
      }
      case "cancel":
        this.#log.info({ ...this.fieldsOf(order.taskId), epoch: order.epoch }, "task cancelled");
        return;
      case "yield":
        this.#log.info({ ...this.fieldsOf(order.taskId), epoch: order.epoch }, "task wanted back");
        return;
      case "continue-alone": {
        const { taskId, epoch, newEpoch } = order;
        const fields = { ...this.fieldsOf(taskId), epoch, new_epoch: newEpoch };
        this.#log.info(fields, "the task goes on without its partner");
        return;
      }
      default:
        assertNever(order);
    }
  }

  report(taskId: string, epoch: number, report: TaskReport): void {
    const fields = { ...this.fieldsOf(taskId), epoch };
    switch (report.kind) {
      case "progress":
        this.#log.debug({ ...fields, step: report.stepsDone }, "step made");
        return;
      case "finished":
        this.#log.info({ ...fields, duration_s: report.result.seconds }, "task finished");
        return;
      case "failed":
        this.#log.error({ ...fields, code: report.code, detail: report.detail }, "task failed");
        return;
      case "checkpointed":
        this.#log.debug({ ...fields, step: report.checkpoint.step }, "latents saved");
        return;
      case "ending":
        this.#log.debug(fields, "all computed, its result is being stored");
        return;
      case "yielded":
        this.#log.info({ ...fields, step: report.checkpoint?.step ?? 0 }, "task given back");
        return;
      case "pair-broken":
        this.#log.warn({ ...fields, step: report.step, reason: report.reason }, "pair broken");
        return;
      default:
        assertNever(report);
    }
  }

  #remember({ taskId, jobId, clipId, attempt, work, traceparent }: TaskAssignment): void {
    const traceId = parseTraceparent(traceparent)?.traceId;
    this.#fields.delete(taskId);
    this.#fields.set(taskId, {
      ...{ job_id: jobId, clip_id: clipId, task_id: taskId, stage: work.stage, attempt },
      ...(traceId === undefined ? {} : { trace_id: traceId }),
    });
    for (const oldest of this.#fields.keys()) {
      if (this.#fields.size <= TASKS_MAX) break;
      this.#fields.delete(oldest);
    }
  }
}
