/** @file The farm as this page knows it: jobs, nodes, models, kept true by one event stream. */
import { computed, effect, signal } from "@preact/signals";
import { api } from "../api/client.js";
import { followEvents, type StreamEvent, type StreamState } from "../api/event-stream.js";
import type { FarmJson, JobJson } from "../api/types.js";
import { isEnded, shortId, stateWord } from "../format.js";
import { announce } from "./announce.js";
import { forgetPreviews, type PreviewJson, showPreview } from "./previews.js";
import { apiKey, keyIsWanted } from "./session.js";

/** Jobs that are listed at once. */
export const PAGE_SIZE = 50;
const PRIORITY_DEFAULT = 50;

export const connection = signal<StreamState>("connecting");
/** Null until the farm has said what it is. */
export const farm = signal<FarmJson | null>(null);
/** Null until the jobs are listed. */
export const jobs = signal<ReadonlyMap<string, JobJson> | null>(null);
/** Where the next page of older jobs begins; "" when all are here. */
export const olderToken = signal("");
/** How often the jobs were listed from the start: what was listed besides is to be listed again. */
export const listings = signal(0);

/** The newest first. */
export const jobList = computed(() =>
  [...(jobs.value?.values() ?? [])].sort((a, b) =>
    (b.createTime ?? "").localeCompare(a.createTime ?? ""),
  ),
);
/** What runs, then what waits, in the order in which it is to run. */
export const openJobs = computed(() =>
  jobList.value.filter((job) => !isEnded(job.state)).sort((a, b) => turnOf(a) - turnOf(b)),
);
export const endedJobs = computed(() => jobList.value.filter((job) => isEnded(job.state)));
export const models = computed(() => farm.value?.models ?? []);
export const nodes = computed(() =>
  [...(farm.value?.nodes ?? [])].sort((a, b) =>
    a.nodeId.localeCompare(b.nodeId, undefined, { numeric: true }),
  ),
);

/** Of the jobs that have not ended; equal ones go in the order of their creation. */
function turnOf({ state, options, createTime }: JobJson): number {
  const rank = ["JOB_STATE_RUNNING", "JOB_STATE_QUEUED", "JOB_STATE_PAUSED"].indexOf(state);
  const priority = options?.priority ?? PRIORITY_DEFAULT;
  return rank * 1e18 - priority * 1e15 + Date.parse(createTime ?? "");
}

/** Follows the farm for as long as the page is open; begins anew with another key. */
export function followFarm(): void {
  effect(() => {
    void apiKey.value;
    const stop = new AbortController();
    const onState = (state: StreamState) => {
      connection.value = state;
      if (state === "refused") keyIsWanted.value = true;
      if (state === "live") keyIsWanted.value = false;
    };
    void followEvents("/v1/events", { onEvent: take, onState }, stop.signal);
    return () => stop.abort();
  });
}

async function take({ event, data }: StreamEvent): Promise<void> {
  switch (event) {
    case "reset":
      return listAnew();
    case "job":
      return put(data as JobJson);
    case "preview":
      return showPreview(data as PreviewJson);
    case "job-deleted":
      return remove((data as { jobId: string }).jobId);
    case "farm":
      farm.value = data as FarmJson;
      return;
    default: // of a newer coordinator
  }
}

async function listAnew(): Promise<void> {
  const page = await api.listJobs("", PAGE_SIZE);
  jobs.value = new Map(page.jobs.map((job) => [job.jobId, job]));
  olderToken.value = page.nextPageToken;
  listings.value += 1;
}

export async function listOlder(): Promise<void> {
  const page = await api.listJobs(olderToken.value, PAGE_SIZE);
  merge(page.jobs);
  olderToken.value = page.nextPageToken;
}

/** Adds jobs of a page; what is here already is newer than what the page says. */
export function merge(listed: readonly JobJson[]): void {
  jobs.value = new Map([...listed.map((job) => [job.jobId, job] as const), ...(jobs.value ?? [])]);
}

/** A job as an answer or an event showed it. */
export function put(job: JobJson): void {
  const before = jobs.value?.get(job.jobId);
  jobs.value = new Map(jobs.value ?? []).set(job.jobId, job);
  if (isEnded(job.state)) forgetPreviews(job.jobId);
  if (before && before.state !== job.state) {
    announce(`Job ${shortId(job.jobId)} is ${stateWord(job.state)}.`);
  } else announceQuarter(before, job);
}

export function remove(jobId: string): void {
  const left = new Map(jobs.value ?? []);
  left.delete(jobId);
  forgetPreviews(jobId);
  jobs.value = left;
}

/** Every step would be too much to listen to; a quarter of the way is not. */
function announceQuarter(before: JobJson | undefined, job: JobJson): void {
  const quarterOf = (of: JobJson) => {
    const total = of.clips.reduce((sum, clip) => sum + clip.stepsTotal, 0);
    const done = of.clips.reduce((sum, clip) => sum + clip.stepsDone, 0);
    return total === 0 ? 0 : Math.floor((4 * done) / total);
  };
  const quarter = quarterOf(job);
  if (before && quarter > quarterOf(before) && quarter < 4) {
    announce(`Job ${shortId(job.jobId)}: ${quarter * 25} percent of its steps are done.`);
  }
}
