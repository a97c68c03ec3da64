/**
 * @file The coordinator dies before and after every kind of event becomes durable, and is started
 * again: the job ends once, with the same bytes, and its request id still names it.
 */
import { randomUUID } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import type { FarmEvent } from "../../coordinator/plan/events.js";
import type { JobOptions, JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, isMidDenoise, stageOf, undisturbed } from "./farm-harness.js";
import { type DoomedCoordinator, type FaultFarm, sharedFarm } from "./fault-farm.js";
import { insist } from "./insist.js";
import { selected } from "./selection.js";

/** Enough for a few checkpoints, and for a fault in the middle. */
const STEPS = 20;
const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: STEPS };

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

/** One job and what is done with it; everything may meet a dead coordinator. */
class Story {
  readonly requestId = randomUUID();
  parameters = PARAMETERS;
  jobId = "";

  async submit(
    parameters: Partial<JobParameters> = {},
    options: Partial<JobOptions> = {},
  ): Promise<void> {
    this.parameters = { ...PARAMETERS, ...parameters };
    this.jobId = (await this.send(options)).jobId;
  }

  /** The same request, once more or for the first time. */
  send(options: Partial<JobOptions> = {}): Promise<{ jobId: string }> {
    const { requestId, parameters } = this;
    return insist(() => farm.submit(parameters, { requestId, options }));
  }

  until(test: (job: JobView) => boolean): Promise<JobView> {
    return farm.follow(this.jobId).until(test);
  }

  end(): Promise<JobView> {
    return farm.follow(this.jobId).end();
  }

  ask(verb: "pauseJob" | "resumeJob" | "cancelJob" | "retryJob" | "deleteJob"): Promise<unknown> {
    return insist<unknown>(() => farm.client[verb](this.jobId), ["wrong-state", "not-found"]);
  }
}

type Teller = (story: Story, doomed: DoomedCoordinator) => Promise<void>;

async function inMidDenoise(story: Story): Promise<void> {
  await story.submit();
  await story.until((job) => isMidDenoise(job));
}

/**
 * Every event but those that clean up, which cleaning-kills.test.ts has, the one that takes quotas and
 * so keys, which test/access/admission-kills.test.ts has, and the one that takes ten minutes, which the
 * simulation has; a new one needs its story.
 */
type Kind = Exclude<
  FarmEvent["kind"],
  "job-swept" | "job-deleted" | "job-admitted" | "task-given-up"
>;

/** What makes each kind of event happen, and how often in the life of such a job. */
const stories: Readonly<Record<Kind, readonly [times: number, tell: Teller]>> = {
  "farm-started": [1, (story) => story.submit()],
  "node-joined": [2, (story) => story.submit()],
  "job-created": [1, (story) => story.submit()],
  "task-granted": [5, (story) => story.submit()],
  "task-ending": [4, (story) => story.submit()],
  "task-finished": [5, (story) => story.submit()],
  "task-checkpointed": [2, (story) => story.submit()],
  "clip-published": [1, (story) => story.submit()],
  "job-paused": [1, pauseAndResume],
  "task-yielded": [1, pauseAndResume],
  "job-resumed": [1, pauseAndResume],
  "node-drained": [1, drainAndUndrain],
  "node-undrained": [1, drainAndUndrain],
  "task-asked-to-yield": [1, drainAndUndrain],
  "job-cancelled": [1, cancelAndRetry],
  "job-retried": [1, cancelAndRetry],
  "job-expired": [1, expireAndRetry],
  // Its picture is on its way first: a start that has passed by then is no event.
  "job-due": [1, (story) => story.submit({}, { startAfterMs: Date.now() + 3_000 })],
  "job-prioritized": [1, prioritize],
  "node-left": [1, (story) => endNode(story, "SIGKILL")],
  "node-stopping": [1, (story) => endNode(story, "SIGTERM")],
  "task-failed": [1, killRuntimes],
  "pair-broken": [1, cutPair],
};

async function pauseAndResume(story: Story): Promise<void> {
  await inMidDenoise(story);
  await story.ask("pauseJob");
  await story.until((job) => job.state === "paused" && nobodyWorks(job));
  await story.ask("resumeJob");
}

/** The second node comes late: the clip gives its node back, to go on as a pair. */
async function drainAndUndrain(story: Story): Promise<void> {
  await insist(() => farm.client.drainNode("node-2"));
  await inMidDenoise(story);
  await insist(() => farm.client.undrainNode("node-2"));
}

async function cancelAndRetry(story: Story): Promise<void> {
  await inMidDenoise(story);
  await story.ask("cancelJob");
  expect((await story.end()).state).toBe("cancelled");
  await story.ask("retryJob");
}

/** Paused, it cannot have ended before its deadline. */
async function expireAndRetry(story: Story): Promise<void> {
  await story.submit({}, { deadlineMs: Date.now() + 4_000 });
  await story.until((job) => isMidDenoise(job));
  await story.ask("pauseJob");
  expect((await story.end()).state).toBe("expired");
  await story.ask("retryJob");
  await story.ask("resumeJob");
}

async function prioritize(story: Story): Promise<void> {
  await inMidDenoise(story);
  await insist(() => farm.client.setJobPriority(story.jobId, 90), ["wrong-state"]);
}

async function endNode(story: Story, signal: NodeJS.Signals): Promise<void> {
  await farm.nodesJoined(farm.nodes.size); // nobody notices the end of one that has not joined
  await inMidDenoise(story);
  const { process: node } = farm.node("node-2");
  process.kill(node.pid!, signal);
  await node.ended;
}

/** A child that dies between two runs is replaced and nobody hears of it, so it dies until one does. */
async function killRuntimes(story: Story, doomed: DoomedCoordinator): Promise<void> {
  await story.submit({ pair: "never" });
  const job = farm.follow(story.jobId);
  for (let step = 1; step < STEPS; step++) {
    const state = await job.until(({ clips }) => clips[0]!.stepsDone >= step);
    if (doomed.hasDied()) return;
    const [worker] = stageOf(state, "denoise")!.nodeIds.slice(-1);
    process.kill(farm.runtimePid(worker!), "SIGKILL");
  }
}

async function cutPair(story: Story): Promise<void> {
  await story.submit({ pair: "always" });
  await story.until((job) => isMidDenoise(job));
  for (const { bus } of farm.nodes.values()) bus.setBoth({ kind: "reset_peer" });
}

function nobodyWorks(job: JobView): boolean {
  return job.clips.every((clip) => clip.stepsDone === (clip.stepsKept.at(-1) ?? 0));
}

const points = Object.entries(stories).flatMap(([kind, [times, tell]]) =>
  Array.from({ length: times }, (_, i) => i + 1).flatMap((n) =>
    (["before", "after"] as const).map((when) => [`${kind}:${when}:${n}`, tell] as const),
  ),
);

test.each(selected(points, 6))("at %s", async (failpoint, tell) => {
  await farm.killCoordinator();
  const doomed = await farm.startDoomedCoordinator(failpoint);
  const story = new Story();
  await tell(story, doomed);
  const ended = await story.end();
  expect(doomed.hasDied(), "the coordinator to have died").toBe(true);
  await doomed.replaced;

  expect(await farm.published(ended)).toEqual(expected);
  expect((await story.send()).jobId).toBe(ended.jobId);
  const remembered = await farm.client.getJob(ended.jobId);
  expect(remembered).toEqual(ended);
  await farm.killCoordinator();
  await farm.startCoordinator();
  expect(await farm.client.getJob(ended.jobId)).toEqual(remembered);
});
