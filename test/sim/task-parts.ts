/** @file What a task on a simulated node is given, and what its runner asks of it. */
import type { TaskReport } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type { BusHost } from "./bus.js";
import type { RunAnswer } from "./runtime.js";
import type { Answer } from "./store.js";
import type { World } from "./world.js";

/** What may go wrong inside a task, once. */
export type TaskFault = "nan" | "wrong-bytes" | "wrong-last-bytes";

export interface TaskParts {
  readonly world: World;
  readonly host: BusHost;
  readonly planHash: string;
  readonly holdsLease: () => boolean;
  readonly report: (epoch: number, report: TaskReport) => void;
  /** One run on the accelerator. */
  readonly run: (answer: RunAnswer) => void;
  readonly get: (ref: BlobRef, answer: Answer<string>) => void;
  readonly put: (key: string, content: string, answer: Answer<BlobRef>) => void;
  /** Whether this fault is to happen now; taken once. */
  readonly takeFault: (fault: TaskFault) => boolean;
}

/** Whom a task tells how far it is. */
export interface TaskEnds {
  /** Nothing is computed for it any more; may be said again. */
  readonly free: () => void;
  /** Nothing is done for it any more. */
  readonly idle: () => void;
}

export interface RunningTask {
  readonly epoch: number;
  readonly isIdle: boolean;
  cancel(): void;
  giveBack(): void;
}
