/**
 * @file The farm as parts that JSON can carry, and the farm made of them again.
 *
 * A restart begins with the newest snapshot instead of the first event. A farm from a snapshot does
 * what the farm would have done: every map keeps its order, since the scheduler goes by it.
 */
import { assert } from "../../shared/core/assert.js";
import { FarmError } from "../../shared/core/errors.js";
import type { Seconds } from "../../shared/farm/job.js";
import type { Stage } from "../../shared/farm/work.js";
import type { Farm } from "./farm-state.js";
import type { Clip, Job } from "./job.js";
import { Learned, type MemoryKnown } from "./learned.js";
import type { Node, NodeRecord } from "./node.js";
import { ReadyQueue } from "./ready-queue.js";
import type { Task } from "./task.js";
import { Usage } from "./usage.js";

/**
 * To be raised whenever a field of the farm, a job, a clip, a task or a node is added, removed or
 * means something else: a program with another number replays the events instead.
 */
export const SNAPSHOT_VERSION = 9;

/** Small enough that making a part takes well under a millisecond. */
const ITEMS_PER_PART = 16;

/** A job without its clips, which may be a thousand; JSON has no 64-bit numbers for its seeds. */
type StoredJob = Omit<Job, "clips" | "parameters"> & {
  readonly parameters: Omit<Job["parameters"], "seeds"> & { readonly seeds: readonly string[] };
};

/** What each list of a farm is made of, in the order of its map. */
interface FarmLists {
  nodes: Node;
  nodeRecords: readonly [nodeId: string, record: NodeRecord];
  jobs: StoredJob;
  clips: readonly [jobId: string, clip: Clip];
  tasks: Task;
  /** Ids of tasks. */
  ready: string;
  jobIdByRequestId: readonly [requestId: string, jobId: string];
  notDueJobIds: string;
  outgrown: readonly [taskId: string, sinceMs: number | null];
  unadmittedJobIds: string;
  admittedCounts: readonly [owner: string, count: number];
  waitingJobIds: readonly [jobId: string, waiting: readonly string[]];
  usageByJob: readonly [jobId: string, seconds: Seconds];
  usageByStage: readonly [stage: Stage, seconds: Seconds];
  usageByOwner: readonly [owner: string, seconds: Seconds];
  learnedSeconds: readonly [kind: string, seconds: number];
  learnedMemory: readonly [shape: string, memory: MemoryKnown];
}

type ListName = keyof FarmLists;

interface FarmHead extends Pick<Farm, "openJobCount" | "openTaskCount"> {
  readonly of: "farm";
  readonly version: number;
}

/** The head comes first, then a few items of one list at a time. */
export type FarmPart =
  | FarmHead
  | { [N in ListName]: { readonly of: N; readonly items: readonly FarmLists[N][] } }[ListName];

/**
 * The farm as it is at the call, however it changes while the parts are taken: jobs and tasks are
 * values, so copying the lists of them is enough.
 */
export function encodeFarm(farm: Farm): Iterable<FarmPart> {
  const { nodes, nodeRecords, jobs, tasks, ready, jobIdByRequestId, ...others } = farm;
  const { notDueJobIds, waitingJobIds, openJobCount, openTaskCount, ...more } = others;
  const { unadmittedJobIds, admittedCounts, usage, learned, outgrown, ...unknown } = more;
  // A new field of the farm does not compile until it is in the snapshot.
  unknown satisfies Record<string, never>;
  const jobList = [...jobs.values()];
  return partsOf(
    { of: "farm", version: SNAPSHOT_VERSION, openJobCount, openTaskCount },
    {
      nodes: [...nodes.values()].map((node) => ({ ...node })),
      nodeRecords: [...nodeRecords],
      jobs: storedJobs(jobList),
      clips: clipsOf(jobList),
      tasks: [...tasks.values()],
      ready: [...ready.taskIds()],
      jobIdByRequestId: [...jobIdByRequestId],
      notDueJobIds: [...notDueJobIds],
      outgrown: [...outgrown],
      unadmittedJobIds: [...unadmittedJobIds],
      admittedCounts: [...admittedCounts],
      waitingJobIds: [...waitingJobIds],
      usageByJob: [...usage.entries().byJob],
      usageByStage: [...usage.entries().byStage],
      usageByOwner: [...usage.entries().byOwner],
      learnedSeconds: [...learned.entries()],
      learnedMemory: [...learned.memoryEntries()],
    },
  );
}

/**
 * Only for parts of our own making, whose integrity the journal has checked.
 *
 * @throws FarmError "wrong-state" when they are of another version
 */
export function decodeFarm(parts: Iterable<FarmPart>): Farm {
  const { head, lists } = collect(parts);
  const jobs = new Map(lists.jobs.map((stored) => [stored.jobId, jobOf(stored)]));
  for (const [jobId, clip] of lists.clips) jobs.get(jobId)!.clips.push(clip);
  const tasks = new Map(lists.tasks.map((task) => [task.taskId, task]));
  const ready = new ReadyQueue();
  for (const taskId of lists.ready) {
    const { stage, jobId } = tasks.get(taskId)!;
    const { owner, priority } = jobs.get(jobId)!;
    ready.add({ taskId, stage, owner, priority });
  }
  return {
    nodes: new Map(lists.nodes.map((node) => [node.info.nodeId, { ...node }])),
    nodeRecords: new Map(lists.nodeRecords),
    jobs,
    tasks,
    ready,
    jobIdByRequestId: new Map(lists.jobIdByRequestId),
    notDueJobIds: new Set(lists.notDueJobIds),
    outgrown: new Map(lists.outgrown),
    unadmittedJobIds: new Set(lists.unadmittedJobIds),
    admittedCounts: new Map(lists.admittedCounts),
    waitingJobIds: new Map(lists.waitingJobIds),
    openJobCount: head.openJobCount,
    openTaskCount: head.openTaskCount,
    usage: new Usage({
      byJob: lists.usageByJob,
      byStage: lists.usageByStage,
      byOwner: lists.usageByOwner,
    }),
    learned: new Learned(lists.learnedSeconds, lists.learnedMemory),
  };
}

type Lists = { [N in ListName]: FarmLists[N][] };

function collect(parts: Iterable<FarmPart>): { head: FarmHead; lists: Lists } {
  let head: FarmHead | null = null;
  const lists: Lists = {
    nodes: [],
    nodeRecords: [],
    jobs: [],
    clips: [],
    tasks: [],
    ready: [],
    jobIdByRequestId: [],
    notDueJobIds: [],
    outgrown: [],
    unadmittedJobIds: [],
    admittedCounts: [],
    waitingJobIds: [],
    usageByJob: [],
    usageByStage: [],
    usageByOwner: [],
    learnedSeconds: [],
    learnedMemory: [],
  };
  for (const part of parts) {
    if (part.of === "farm") {
      refuseVersion(part.version);
      head = part;
    } else {
      assert(head !== null, "the head of a snapshot to come first");
      (lists[part.of] as unknown[]).push(...part.items);
    }
  }
  assert(head !== null, "a snapshot with a head");
  return { head, lists };
}

function refuseVersion(version: number): void {
  if (version === SNAPSHOT_VERSION) return;
  throw new FarmError(
    "wrong-state",
    `the snapshot is of format ${version}, and this program reads format ${SNAPSHOT_VERSION}`,
  );
}

function* partsOf(
  head: FarmPart,
  lists: { [N in ListName]: Iterable<FarmLists[N]> },
): Generator<FarmPart, void> {
  yield head;
  for (const [of, items] of Object.entries(lists)) {
    for (const some of slicesOf<unknown>(items)) yield { of, items: some } as FarmPart;
  }
}

function* slicesOf<T>(items: Iterable<T>): Generator<readonly T[], void> {
  let slice: T[] = [];
  for (const item of items) {
    slice.push(item);
    if (slice.length < ITEMS_PER_PART) continue;
    yield slice;
    slice = [];
  }
  if (slice.length > 0) yield slice;
}

function* storedJobs(jobs: readonly Job[]): Generator<StoredJob, void> {
  for (const { clips: _clips, parameters, ...job } of jobs) {
    yield { ...job, parameters: { ...parameters, seeds: parameters.seeds.map(String) } };
  }
}

function* clipsOf(jobs: readonly Job[]): Generator<readonly [string, Clip], void> {
  for (const { jobId, clips } of jobs) for (const clip of clips) yield [jobId, clip];
}

function jobOf(stored: StoredJob): Job & { readonly clips: Clip[] } {
  const { parameters, ...job } = stored;
  return {
    ...job,
    parameters: { ...parameters, seeds: parameters.seeds.map(BigInt) },
    clips: [],
  };
}
