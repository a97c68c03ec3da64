/** @file The events of one job and of the whole farm, each resumable by the id of the last one seen. */
import { encodeJob } from "../../shared/adapters/grpc/job-codec.js";
import { isTerminal } from "../../shared/farm/job.js";
import { viewFarm } from "../rpc/farm-verbs.js";
import type { FarmFeed, JobChange } from "../shell/farm-feed.js";
import type { FarmLoop } from "../shell/farm-loop.js";
import type { EventSource, ServerEvent } from "./event-stream.js";
import { toProtoJson } from "./proto-json.js";

interface EventParts {
  readonly loop: FarmLoop;
  readonly feed: FarmFeed;
  /** The Last-Event-ID of a reader that comes back; null: a new one. */
  readonly lastId: string | null;
}

/** The number in an event id of this run of the coordinator; null: of another, or none at all. */
function numberIn(feed: FarmFeed, id: string | null): number | null {
  const [runId, number] = id?.split("-") ?? [];
  return runId === feed.runId && /^\d{1,15}$/.test(number ?? "") ? Number(number) : null;
}

/** Previews that one stream has not told yet, an event each. */
class UntoldPreviews {
  readonly #loop: FarmLoop;
  /** Step of the last one told, by job and clip. */
  readonly #told = new Map<string, number>();
  #waiting: object[] = [];

  constructor(loop: FarmLoop) {
    this.#loop = loop;
  }

  /** To be called when a job was told: its previews follow it. */
  lookAt(jobId: string): void {
    const previews = this.#loop.previews(jobId);
    for (const { clipIndex, step, image } of previews) {
      const key = `${jobId}-${clipIndex}`;
      if (this.#told.get(key) === step) continue;
      this.#told.set(key, step);
      this.#waiting.push({ jobId, clipIndex, step, image: Buffer.from(image).toString("base64") });
    }
    if (previews.length > 0) return;
    for (const key of this.#told.keys()) if (key.startsWith(jobId)) this.#told.delete(key);
  }

  next(id: string): ServerEvent | null {
    const data = this.#waiting.shift();
    return data ? { event: "preview", id, data } : null;
  }
}

/**
 * "job": the state of one job now and after every change, until it has ended or is deleted;
 * "preview": what a clip looks like, of a job that asks for it. A reader that comes back and has
 * missed nothing is told nothing.
 */
export function jobEvents(jobId: string, { loop, feed, lastId }: EventParts): EventSource {
  let sent = numberIn(feed, lastId) ?? -1;
  let hasEnded = false;
  const previews = new UntoldPreviews(loop);
  return {
    next() {
      const preview = previews.next(`${feed.runId}-${sent}`);
      if (preview) return preview;
      const job = hasEnded ? null : loop.view(jobId);
      if (!job) return "end";
      hasEnded = isTerminal(job.state);
      const number = feed.numberOf(jobId);
      if (number <= sent) return hasEnded ? "end" : null;
      sent = number;
      previews.lookAt(jobId);
      return { event: "job", id: `${feed.runId}-${number}`, data: toProtoJson(encodeJob(job)) };
    },
    settled: () => loop.settled(),
    listen: (wake) =>
      feed.listen((change) => {
        if (change?.jobId === jobId) wake();
      }),
  };
}

/**
 * "job" after each change of a job, "preview", "job-deleted", and "farm" with models and nodes when one of them
 * changed. A new reader is first told "reset": the jobs are to be listed, changes follow.
 *
 * @param owner whose jobs are told; null: everybody's
 */
export function farmEvents(owner: string | null, { loop, feed, lastId }: EventParts): EventSource {
  const isSeen = ({ jobId }: JobChange) => owner === null || feed.ownerOf(jobId) === owner;
  const resumedAt = numberIn(feed, lastId);
  const missed = resumedAt === null ? null : feed.since(resumedAt);
  let number = missed === null ? feed.number : (resumedAt ?? 0);
  let needsReset = missed === null;
  let farmSent = "";
  let mayFarmDiffer = true;
  const previews = new UntoldPreviews(loop);
  const pending = new Map(
    (missed ?? []).filter(isSeen).map((change) => [change.jobId, change.number]),
  );
  const event = (name: string, data: unknown): ServerEvent => ({
    ...{ event: name, data },
    id: `${feed.runId}-${number}`,
  });

  const nextFarm = (): ServerEvent | null => {
    if (!mayFarmDiffer) return null;
    mayFarmDiffer = false;
    const farm = toProtoJson(viewFarm(loop, owner));
    const text = JSON.stringify(farm);
    if (text === farmSent) return null;
    farmSent = text;
    return event("farm", farm);
  };
  return {
    next() {
      if (needsReset) {
        needsReset = false;
        return event("reset", {});
      }
      const preview = previews.next(`${feed.runId}-${number}`);
      if (preview) return preview;
      const [first] = pending;
      if (!first) return nextFarm();
      const [jobId] = first;
      [, number] = first;
      pending.delete(jobId);
      const job = loop.view(jobId);
      previews.lookAt(jobId);
      return job ? event("job", toProtoJson(encodeJob(job))) : event("job-deleted", { jobId });
    },
    settled: () => loop.settled(),
    listen: (wake) =>
      feed.listen((change) => {
        if (change && !isSeen(change)) return;
        if (change) {
          pending.delete(change.jobId);
          pending.set(change.jobId, change.number);
        } else mayFarmDiffer = true;
        wake();
      }),
  };
}
