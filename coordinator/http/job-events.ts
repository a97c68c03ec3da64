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

/**
 * The state of one job now and after every change, until it has ended or is deleted. A reader that
 * comes back and has missed nothing is told nothing.
 */
export function jobEvents(jobId: string, { loop, feed, lastId }: EventParts): EventSource {
  let sent = numberIn(feed, lastId) ?? -1;
  let hasEnded = false;
  return {
    next() {
      const job = hasEnded ? null : loop.view(jobId);
      if (!job) return "end";
      hasEnded = isTerminal(job.state);
      const number = feed.numberOf(jobId);
      if (number <= sent) return hasEnded ? "end" : null;
      sent = number;
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
 * "job" after each change of a job, "job-deleted", and "farm" with models and nodes when one of them
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
    const farm = toProtoJson(viewFarm(loop));
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
      const [first] = pending;
      if (!first) return nextFarm();
      const [jobId] = first;
      [, number] = first;
      pending.delete(jobId);
      const job = loop.view(jobId);
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
