/** @file Everything the coordinator knows; `reduceFarm` is the one door through which it changes. */
import type { Job } from "./job.js";
import { Learned } from "./learned.js";
import type { Node, NodeRecord } from "./node.js";
import { NEW_NODE_RECORD } from "./node.js";
import { ReadyQueue } from "./ready-queue.js";
import type { Task } from "./task.js";
import { Usage } from "./usage.js";

export interface Farm {
  /** Connected nodes by id. */
  readonly nodes: Map<string, Node>;
  /** Memory of every node id that ever joined. */
  readonly nodeRecords: Map<string, NodeRecord>;
  /** In the order of their creation. */
  readonly jobs: Map<string, Job>;
  /** Every task of every job, by id. */
  readonly tasks: Map<string, Task>;
  /** Tasks that could start now, without those of held jobs. */
  readonly ready: ReadyQueue;
  /** First job of each client's request id. */
  readonly jobIdByRequestId: Map<string, string>;
  /** Jobs whose time has not come. */
  readonly notDueJobIds: Set<string>;
  /**
   * Tasks that wait for a node with more memory, and since when the farm has none that may serve;
   * null: it has one, which may be busy.
   */
  readonly outgrown: Map<string, number | null>;
  /** Jobs that wait for others of their owner to end, in the order of their creation. */
  readonly unadmittedJobIds: Set<string>;
  /** Open jobs that were let in, by owner. */
  readonly admittedCounts: Map<string, number>;
  /** By the job waited for, those that wait for it. */
  readonly waitingJobIds: Map<string, readonly string[]>;
  /** Jobs that have not ended. */
  openJobCount: number;
  /** Tasks of those jobs, whatever became of them. */
  openTaskCount: number;
  /** Seconds of accelerators, by job, owner and stage. */
  readonly usage: Usage;
  /** Seconds that work of each kind takes here. */
  readonly learned: Learned;
}

export function emptyFarm(): Farm {
  return {
    nodes: new Map(),
    nodeRecords: new Map(),
    jobs: new Map(),
    tasks: new Map(),
    ready: new ReadyQueue(),
    jobIdByRequestId: new Map(),
    notDueJobIds: new Set(),
    outgrown: new Map(),
    unadmittedJobIds: new Set(),
    admittedCounts: new Map(),
    waitingJobIds: new Map(),
    openJobCount: 0,
    openTaskCount: 0,
    usage: new Usage(),
    learned: new Learned(),
  };
}

/** What the farm remembers of a node id. */
export function recordOf(farm: Farm, nodeId: string): NodeRecord {
  return farm.nodeRecords.get(nodeId) ?? NEW_NODE_RECORD;
}
