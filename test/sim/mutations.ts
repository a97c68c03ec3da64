/**
 * @file Planted bugs: each must be seen by an invariant, or the simulation is blind to its kind.
 *
 * A mutation stands in for a function of the core, so production code holds no hook for it.
 */
import type { FarmEvent } from "../../coordinator/plan/events.js";
import type { Node } from "../../coordinator/plan/node.js";
import { membersOf } from "../../coordinator/plan/task.js";
import { decodeEvent } from "../../coordinator/shell/event-codec.js";
import type { DenoiseEvent, DenoiseState } from "../../gpu-node/agent/denoise-state.js";
import type { StepCheckpoint } from "../../shared/farm/work.js";
import { type Core, PRODUCTION } from "./core.js";

export interface Mutation {
  readonly name: string;
  readonly core: Core;
}

const { reduceFarm, reduceDenoise, planFarm, planAdmission, snapshotLines, orphanTest } =
  PRODUCTION;

export const MUTATIONS: readonly Mutation[] = [
  onEvent("the epoch of a report is not checked", (farm, event) => {
    if (!("epoch" in event)) return event;
    return { ...event, epoch: farm.tasks.get(event.taskId)?.epoch ?? event.epoch };
  }),
  onEvent("a report of one who is no member is taken", (farm, event) => {
    if (!("epoch" in event)) return event;
    const task = farm.tasks.get(event.taskId);
    const members = task ? membersOf(task).map((member) => member.nodeId) : [];
    const isMember = members.includes(event.nodeId);
    return isMember || !members[0] ? event : { ...event, nodeId: members[0] };
  }),
  onEvent("a latent checkpoint is kept as that of the next step", (_farm, event) => {
    const later = (checkpoint: StepCheckpoint) => ({ ...checkpoint, step: checkpoint.step + 1 });
    if (event.kind === "task-checkpointed") {
      return { ...event, checkpoint: later(event.checkpoint) };
    }
    if (event.kind !== "task-yielded" || !event.checkpoint) return event;
    return { ...event, checkpoint: later(event.checkpoint) };
  }),
  onEvent("a request id is forgotten", (_farm, event) =>
    event.kind === "job-created" ? { ...event, job: { ...event.job, requestId: "" } } : event,
  ),
  onEvent("the loss of a node is not told to its tasks", (farm, event) => {
    if (event.kind !== "node-left") return event;
    const node = farm.nodes.get(event.nodeId);
    if (node) Object.assign(node, NO_SLOTS);
    return event;
  }),
  afterEvent("a node forgets what it stores", (farm, event) => {
    const node = event.kind === "task-ending" && farm.nodes.get(event.nodeId);
    if (node) node.endingTaskId = null;
  }),
  afterEvent("a cancelled task keeps its slot", (farm, event, before) => {
    if (event.kind !== "job-cancelled") return;
    for (const [nodeId, slots] of before) {
      const node = farm.nodes.get(nodeId);
      if (node) Object.assign(node, slots);
    }
  }),
  afterEvent("failures are forgotten, so retries have no budget", (farm, event) => {
    if (event.kind !== "task-failed") return;
    const task = farm.tasks.get(event.taskId);
    if (task) farm.tasks.set(task.taskId, { ...task, failures: [] });
  }),
  afterEvent("the ready tasks of a paused job stay in the queue", (farm, event) => {
    if (event.kind !== "job-paused") return;
    const job = farm.jobs.get(event.jobId);
    for (const task of farm.tasks.values()) {
      if (!job || task.jobId !== event.jobId || task.state.kind !== "ready") continue;
      const { taskId, stage } = task;
      farm.ready.add({ taskId, stage, owner: job.owner, priority: job.priority });
    }
  }),
  onDenoise("the epoch of a frame is not checked", (state, event) =>
    event.kind === "frame" ? { ...event, frame: { ...event.frame, epoch: state.epoch } } : event,
  ),
  onDenoise("the step of a frame is not checked", (state, event) => {
    if (event.kind !== "frame" || state.kind !== "denoising") return event;
    const { step, digest } = state;
    return { ...event, frame: { ...event.frame, step, latentsDigest: digest ?? "" } };
  }),
  onDenoise("the digests of a pair are not compared", (state, event) =>
    event.kind === "frame" && state.kind === "denoising" && event.frame.step === state.step
      ? { ...event, frame: { ...event.frame, latentsDigest: state.digest ?? "" } }
      : event,
  ),
  {
    name: "a survivor begins again at step 0 with the latents that it holds",
    core: {
      ...PRODUCTION,
      reduceDenoise: (state, event) => {
        const isSurvivor = event.kind === "continue-alone" && state.kind === "denoising";
        const from: DenoiseState = isSurvivor
          ? { ...state, step: 0, have: { uncond: false, cond: false } }
          : state;
        return reduceDenoise(from, event);
      },
    },
  },
  {
    name: "two tasks are granted to one accelerator",
    core: {
      ...PRODUCTION,
      planFarm: (farm, policy, nowMs) => {
        const busy = [...farm.nodes.values()].filter((node) => node.gpuTaskId !== null);
        const slots = busy.map((node) => node.gpuTaskId);
        for (const node of busy) node.gpuTaskId = null;
        const plan = planFarm(farm, policy, nowMs);
        for (const [i, node] of busy.entries()) {
          const isGranted = plan.grants.some(({ members }) =>
            members.some(({ nodeId }) => nodeId === node.info.nodeId),
          );
          if (!isGranted) node.gpuTaskId = slots[i] ?? null;
        }
        return plan;
      },
    },
  },
  {
    name: "effects do not wait for the journal",
    core: { ...PRODUCTION, journalFirst: false },
  },
  {
    name: "a second publisher writes over the first",
    core: { ...PRODUCTION, publishesIfAbsent: false },
  },
  {
    name: "a replay leaves the last record out",
    core: { ...PRODUCTION, replayed: (records) => records.slice(0, -1) },
  },
  {
    name: "a replay leaves failures out",
    core: {
      ...PRODUCTION,
      replayed: (records) => records.filter((r) => decodeEvent(r).kind !== "task-failed"),
    },
  },
];

/** Of what came with the third generation of worlds. */
export const THIRD_MUTATIONS: readonly Mutation[] = [
  onEvent("a result that cannot be read is the reader's fault", (_farm, event) =>
    event.kind === "task-failed" ? { ...event, blobKey: undefined } : event,
  ),
  {
    name: "a result that cannot be read is waited for, and nobody makes it again",
    core: {
      ...PRODUCTION,
      reduceFarm: (farm, event) => {
        const done = [...farm.tasks.values()].filter((task) => task.state.kind === "done");
        const effects = reduceFarm(farm, event);
        if (event.kind !== "task-failed" || !event.blobKey) return effects;
        for (const task of done) {
          if (farm.tasks.get(task.taskId)?.state.kind !== "ready") continue;
          farm.tasks.set(task.taskId, task);
          farm.ready.remove(task.taskId);
        }
        return effects;
      },
    },
  },
  {
    name: "the latents of a pair's last step are not compared",
    core: {
      ...PRODUCTION,
      reduceDenoise: (state, event) => {
        const isLast =
          event.kind === "applied" &&
          state.kind === "denoising" &&
          state.step + 1 === state.plan.stepCount;
        return reduceDenoise(isLast ? { ...state, partnership: { kind: "none" } } : state, event);
      },
    },
  },
  onEvent("a deadline passes and nothing comes of it", (_farm, event) =>
    event.kind === "job-expired" ? { ...event, jobId: "nobody" } : event,
  ),
  onEvent("a retry leaves a deadline that has passed", (farm, event) => {
    if (event.kind !== "job-retried" || event.deadlineMs !== undefined) return event;
    return { ...event, deadlineMs: farm.jobs.get(event.jobId)?.deadlineMs ?? undefined };
  }),
  afterEvent("nodes work on for a job that has expired", (farm, event, before) => {
    if (event.kind !== "job-expired") return;
    for (const [nodeId, slots] of before) {
      const node = farm.nodes.get(nodeId);
      if (node) Object.assign(node, slots);
    }
  }),
  afterEvent("a publication counts although the deadline has passed", (farm, event) => {
    const job = event.kind === "clip-published" ? farm.jobs.get(event.jobId) : undefined;
    if (job?.state !== "expired") return;
    const clips = job.clips.map((clip) => ({ ...clip, state: "succeeded" as const }));
    farm.jobs.set(job.jobId, { ...job, clips, state: "succeeded" });
  }),
  {
    name: "an owner has more jobs worked on than he may",
    core: { ...PRODUCTION, planAdmission: (farm) => planAdmission(farm) },
  },
  onEvent(
    "a job that waits for others of its owner is let in, and goes on waiting",
    (_farm, event) => (event.kind === "job-admitted" ? { ...event, jobId: "nobody" } : event),
  ),
];

/** Of what came with the second generation of worlds. */
export const LATER_MUTATIONS: readonly Mutation[] = [
  {
    name: "a snapshot is of the farm as it is when it is written, not when it was asked for",
    core: {
      ...PRODUCTION,
      snapshotLines: function* (farm) {
        yield* snapshotLines(farm);
      },
    },
  },
  {
    name: "a snapshot leaves the accounts out",
    core: {
      ...PRODUCTION,
      snapshotLines: function* (farm) {
        for (const line of [...snapshotLines(farm)]) if (!line.includes('"usageBy')) yield line;
      },
    },
  },
  onEvent("a branched clip begins with the noise", (_farm, event) =>
    event.kind === "job-created" ? { ...event, job: { ...event.job, branch: null } } : event,
  ),
  onEvent("latents that cannot be read are gone on from", (_farm, event) => {
    const isCheckpoint = event.kind === "task-failed" && event.blobKey?.includes("/step-");
    if (!isCheckpoint) return event;
    return { ...event, failure: { ...event.failure, code: "unreachable" } };
  }),
  {
    name: "what is read from the store is not compared with its checksum",
    core: { ...PRODUCTION, checksBlobs: false },
  },
  {
    name: "a half is not compared with its checksum",
    core: { ...PRODUCTION, checksFrames: false },
  },
  {
    name: "a second coordinator takes the journal of a living one",
    core: { ...PRODUCTION, locksJournal: false },
  },
  {
    name: "the janitor removes what it chose a while ago without asking again",
    core: { ...PRODUCTION, asksBeforeRemoval: false },
  },
  {
    name: "the janitor leaves what was written after a sweep",
    core: {
      ...PRODUCTION,
      orphanTest: (farm) => {
        const isOrphan = orphanTest(farm);
        return (key) => isOrphan(key) && !farm.jobs.has(key.slice(3, 29));
      },
    },
  },
  {
    name: "the janitor takes the pictures of jobs that have ended",
    core: {
      ...PRODUCTION,
      orphanTest: (farm) => {
        const open = new Map([...farm.jobs].filter(([, job]) => job.endedAtMs === null));
        const isOrphan = orphanTest({ ...farm, jobs: open });
        return (key) => isOrphan(key) && !farm.jobs.has(key.slice(3, 29));
      },
    },
  },
];

type Farm = Parameters<Core["reduceFarm"]>[0];
type Slots = Pick<Node, "gpuTaskId" | "endingTaskId" | "muxTaskId">;
const NO_SLOTS: Slots = { gpuTaskId: null, endingTaskId: null, muxTaskId: null };

/** Something else reaches the farm than what happened. */
function onEvent(name: string, change: (farm: Farm, event: FarmEvent) => FarmEvent): Mutation {
  const mutated: Core["reduceFarm"] = (farm, event) => reduceFarm(farm, change(farm, event));
  return { name, core: { ...PRODUCTION, reduceFarm: mutated } };
}

/** Something of what an event did is undone; `before` holds the slots as they were. */
function afterEvent(
  name: string,
  change: (farm: Farm, event: FarmEvent, before: ReadonlyMap<string, Slots>) => void,
): Mutation {
  const mutated: Core["reduceFarm"] = (farm, event) => {
    const before = new Map(
      [...farm.nodes].map(([id, { gpuTaskId, endingTaskId, muxTaskId }]) => [
        id,
        { gpuTaskId, endingTaskId, muxTaskId },
      ]),
    );
    const effects = reduceFarm(farm, event);
    change(farm, event, before);
    return effects;
  };
  return { name, core: { ...PRODUCTION, reduceFarm: mutated } };
}

function onDenoise(
  name: string,
  change: (state: DenoiseState, event: DenoiseEvent) => DenoiseEvent,
): Mutation {
  const mutated: Core["reduceDenoise"] = (state, event) =>
    reduceDenoise(state, change(state, event));
  return { name, core: { ...PRODUCTION, reduceDenoise: mutated } };
}
