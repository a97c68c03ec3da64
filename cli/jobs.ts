/** @file Verbs on jobs that were sent before: list, get, cancel, pause, resume, retry, priority, delete. */

import type { FarmClient } from "../client/farm-client.js";
import { refuseViolations } from "../shared/core/errors.js";
import { JOB_STATES, type JobState, type JobView, PRIORITY_MAX } from "../shared/farm/job.js";
import { type ConnectionFlags, connect, withWayOut } from "./connection.js";
import { printTable } from "./table.js";
import { checkJobId } from "./watch.js";

export interface JobFlags extends ConnectionFlags {
  readonly json?: boolean;
}

export interface ListFlags extends JobFlags {
  readonly state?: string;
  readonly limit?: string;
}

export interface RetryFlags extends JobFlags {
  readonly clip?: string;
  readonly chunk?: string;
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
  const limit = readWhole("--limit", flags.limit ?? "50", 1, 10_000);
  const jobs = await withFarm(flags, async (client) => {
    const found: JobView[] = [];
    let token = "";
    do {
      const page = await client.listJobs({ size: Math.min(limit, 500), token, states });
      found.push(...page.jobs);
      token = page.nextToken;
    } while (token !== "" && found.length < limit);
    return found.slice(0, limit);
  });
  if (flags.json) process.stdout.write(`${JSON.stringify(jobs.map(summary), null, 2)}\n`);
  else
    printTable(["JOB", "STATE", "PRIORITY", "OWNER", "CLIPS", "MODEL", "CREATED"], jobs.map(row));
}

export async function get(jobId: string, flags: JobFlags): Promise<void> {
  checkJobId(jobId);
  printJob(await withFarm(flags, (client) => client.getJob(jobId)), flags);
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
  const job = await withFarm(flags, (c) => c.retryJob(jobId, { clipIndex, chunkIndex }));
  printState(job, flags);
}

export async function priority(jobId: string, value: string, flags: JobFlags): Promise<void> {
  checkJobId(jobId);
  const wanted = readWhole("PRIORITY", value, 0, PRIORITY_MAX);
  printState(await withFarm(flags, (c) => c.setJobPriority(jobId, wanted)), flags);
}

export async function remove(jobId: string, flags: JobFlags): Promise<void> {
  checkJobId(jobId);
  await withFarm(flags, (client) => client.deleteJob(jobId));
  if (!flags.json) process.stdout.write(`${jobId} deleted\n`);
}

/** Removes blobs that no job owns any more, or with --dry-run only counts them. */
export async function gc(flags: JobFlags & { readonly dryRun?: boolean }): Promise<void> {
  const dryRun = flags.dryRun ?? false;
  const found = await withFarm(flags, (client) => client.collectGarbage(dryRun));
  const verb = dryRun ? "would be removed" : "removed";
  const text = `${found.blobs} blobs, ${found.bytes} bytes ${verb}\n`;
  process.stdout.write(flags.json ? `${JSON.stringify(found)}\n` : text);
}

/** @throws FarmError "invalid-argument" naming the field and its range */
function readWhole(field: string, text: string, min: number, max: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    const description = `'${text.slice(0, 40)}' is no whole number from ${min} to ${max}`;
    refuseViolations([{ field, description }]);
  }
  return value;
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

function row(job: JobView): string[] {
  const done = job.clips.filter((clip) => clip.state === "succeeded").length;
  return [
    job.jobId,
    job.state,
    String(job.options.priority),
    job.options.owner,
    `${done}/${job.clips.length}`,
    job.modelName,
    new Date(job.createdAtMs).toISOString(),
  ];
}

function printState(job: JobView, flags: JobFlags): void {
  if (flags.json) printJob(job, flags);
  else process.stdout.write(`${job.jobId} ${job.state}\n`);
}

function printJob(job: JobView, flags: JobFlags): void {
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(summary(job), null, 2)}\n`);
    return;
  }
  printTable(["JOB", "STATE", "PRIORITY", "OWNER", "CLIPS", "MODEL", "CREATED"], [row(job)]);
  process.stdout.write("\n");
  printTable(
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
}

/** A job as data: 64-bit seeds are texts, as JSON numbers cannot hold them. */
function summary(job: JobView): unknown {
  return JSON.parse(
    JSON.stringify(job, (_key, value: unknown) =>
      typeof value === "bigint" ? value.toString() : value,
    ),
  );
}
