/** @file Verbs on jobs that were sent before: list, get, cancel, pause, resume, retry, priority, delete. */

import type { FarmClient } from "../client/farm-client.js";
import { refuseViolations, type Violation } from "../shared/core/errors.js";
import { JOB_STATES, type JobState, type JobView, PRIORITY_MAX } from "../shared/farm/job.js";
import { labelText, readSelector } from "../shared/farm/labels.js";
import { type ConnectionFlags, connect, withWayOut } from "./connection.js";
import { readWhole } from "./flag-values.js";
import { readTimeFlag } from "./job-options.js";
import {
  formatList,
  type OutputFlags,
  outputFormat,
  printList,
  printOne,
  type Shown,
} from "./output.js";
import { formatTable } from "./table.js";
import { checkJobId } from "./watch.js";

export interface JobFlags extends ConnectionFlags, OutputFlags {}

export interface ListFlags extends JobFlags {
  readonly state?: string;
  readonly limit?: string;
  readonly selector?: string;
}

export interface LinkFlags extends JobFlags {
  readonly clip?: string;
  readonly file: string;
}

export interface RetryFlags extends JobFlags {
  readonly clip?: string;
  readonly chunk?: string;
  readonly deadline?: string;
}

/** One call on a client that is closed afterwards. */
export async function withFarm<T>(
  flags: ConnectionFlags,
  call: (client: FarmClient) => Promise<T>,
): Promise<T> {
  const client = connect(flags);
  try {
    return await call(client).catch((error: unknown) => {
      throw withWayOut(error);
    });
  } finally {
    client.close();
  }
}

/** Newest first, a line each. */
export async function list(flags: ListFlags): Promise<void> {
  const states = readStates(flags.state);
  const labelSelector = readLabelSelector(flags.selector);
  const limit = readWhole("--limit", flags.limit ?? "50", 1, 10_000);
  const jobs = await withFarm(flags, async (client) => {
    const found: JobView[] = [];
    let token = "";
    do {
      const page = await client.listJobs({
        ...{ size: Math.min(limit, 500), token, states },
        labelSelector,
      });
      found.push(...page.jobs);
      token = page.nextToken;
    } while (token !== "" && found.length < limit);
    return found.slice(0, limit);
  });
  printList(jobs, flags, SHOWN_JOB);
}

export async function get(jobId: string, flags: JobFlags): Promise<void> {
  checkJobId(jobId);
  printJob(await withFarm(flags, (client) => client.getJob(jobId)), flags);
}

/** A URL of one finished file, for a browser or a program without a key. */
export async function link(jobId: string, flags: LinkFlags): Promise<void> {
  checkJobId(jobId);
  const clipIndex = readWhole("--clip", flags.clip ?? "1", 1, 10_000) - 1;
  const found = await withFarm(flags, (client) => client.outputLink(jobId, clipIndex, flags.file));
  const until = new Date(found.expiresAtMs).toISOString();
  printOne({ url: found.url, expireTime: until }, flags, {
    ...{ name: found.url, text: `${found.url}\n` },
  });
}

/** cancel, pause, resume: one word on a job, answered with its state. */
export async function change(
  verb: "cancelJob" | "pauseJob" | "resumeJob",
  jobId: string,
  flags: JobFlags,
): Promise<void> {
  checkJobId(jobId);
  printState(await withFarm(flags, (client) => client[verb](jobId)), flags);
}

export async function retry(jobId: string, flags: RetryFlags): Promise<void> {
  checkJobId(jobId);
  const index = (name: string, text: string | undefined) =>
    text === undefined ? undefined : readWhole(name, text, 1, 10_000) - 1;
  const clipIndex = index("--clip", flags.clip);
  const chunkIndex = index("--chunk", flags.chunk);
  if (chunkIndex !== undefined && clipIndex === undefined) {
    refuseViolations([{ field: "--chunk", description: "wants --clip N beside it" }]);
  }
  const deadlineMs = readDeadline(flags.deadline);
  const what = { clipIndex, chunkIndex, deadlineMs };
  printState(await withFarm(flags, (client) => client.retryJob(jobId, what)), flags);
}

export async function priority(jobId: string, value: string, flags: JobFlags): Promise<void> {
  checkJobId(jobId);
  const wanted = readWhole("PRIORITY", value, 0, PRIORITY_MAX);
  printState(await withFarm(flags, (c) => c.setJobPriority(jobId, wanted)), flags);
}

export async function remove(jobId: string, flags: JobFlags): Promise<void> {
  checkJobId(jobId);
  await withFarm(flags, (client) => client.deleteJob(jobId));
  printOne({ jobId, deleted: true }, flags, { name: jobId, text: `${jobId} deleted\n` });
}

/** Removes blobs that no job owns any more, or with --dry-run only counts them. */
export async function gc(flags: JobFlags & { readonly dryRun?: boolean }): Promise<void> {
  const dryRun = flags.dryRun ?? false;
  const found = await withFarm(flags, (client) => client.collectGarbage(dryRun));
  const verb = dryRun ? "would be removed" : "removed";
  const text = `${found.blobs} blobs, ${found.bytes} bytes ${verb}\n`;
  printOne(found, flags, { name: String(found.blobs), text });
}

/** @throws FarmError "invalid-argument" for what is no time */
function readDeadline(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const violations: Violation[] = [];
  const deadlineMs = readTimeFlag("--deadline", text, Date.now(), violations);
  refuseViolations(violations);
  return deadlineMs ?? undefined;
}

/** @throws FarmError "invalid-argument" for what is no selector */
function readLabelSelector(text = ""): string {
  const violations: Violation[] = [];
  readSelector(text, "--selector", violations);
  refuseViolations(violations);
  return text;
}

function readStates(text: string | undefined): JobState[] {
  if (text === undefined) return [];
  const names = text.split(",");
  const isState = (name: string): name is JobState => JOB_STATES.some((state) => state === name);
  refuseViolations(
    names
      .filter((name) => !isState(name))
      .map((name) => ({
        field: "--state",
        description: `'${name}' is no state; there are ${JOB_STATES.join(", ")}`,
      })),
  );
  return names.filter(isState);
}

const SHOWN_JOB: Shown<JobView> = {
  columns: [
    { heading: "JOB", cell: (job) => job.jobId },
    { heading: "STATE", cell: (job) => job.state },
    { heading: "PRIORITY", cell: (job) => String(job.options.priority) },
    { heading: "OWNER", cell: (job) => job.options.owner },
    { heading: "CLIPS", cell: (job) => `${countDone(job)}/${job.clips.length}` },
    { heading: "MODEL", cell: (job) => job.modelName },
    { heading: "CREATED", cell: (job) => new Date(job.createdAtMs).toISOString() },
    { heading: "STARTED", cell: (job) => timeOf(job.startedAtMs), isWide: true },
    { heading: "ENDED", cell: (job) => timeOf(job.endedAtMs), isWide: true },
    { heading: "DEADLINE", cell: (job) => timeOf(job.options.deadlineMs), isWide: true },
    { heading: "SECONDS", cell: (job) => job.usage.used.toFixed(1), isWide: true },
    { heading: "LABELS", cell: (job) => labelText(job.options.labels), isWide: true },
    { heading: "SEEDS", cell: (job) => job.parameters.seeds.join(","), isWide: true },
  ],
  name: (job) => job.jobId,
};

function countDone({ clips }: JobView): number {
  return clips.filter((clip) => clip.state === "succeeded").length;
}

function timeOf(ms: number | null): string {
  return ms === null ? "" : new Date(ms).toISOString();
}

function printState(job: JobView, flags: JobFlags): void {
  printOne(job, flags, { name: job.jobId, text: `${job.jobId} ${job.state}\n` });
}

function printJob(job: JobView, flags: JobFlags): void {
  const clips = formatTable(
    ["CLIP", "STATE", "STEPS", "KEPT", "CHUNKS", "PLAN", "NODES", "ERROR"],
    job.clips.map((clip) => [
      String(clip.index + 1),
      clip.state,
      `${clip.stepsDone}/${clip.stepsTotal}`,
      clip.stepsKept.join(","),
      `${clip.chunksDone}/${clip.chunksTotal}`,
      clip.plan,
      [...new Set(clip.stages.flatMap((stage) => stage.nodeIds))].join(","),
      clip.error ? `${clip.error.code}: ${clip.error.detail}` : "",
    ]),
  );
  const format = outputFormat(flags) === "wide" ? "wide" : "table";
  const { whyNotNow } = job;
  const waits = whyNotNow.length === 0 ? "" : `waits: ${whyNotNow.join("; ")}\n`;
  const text = `${formatList([job], format, SHOWN_JOB)}${waits}\n${clips}`;
  printOne(job, flags, { name: job.jobId, text });
}
