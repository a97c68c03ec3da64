/** @file Events as one line of JSON in the journal. */
import { FarmError } from "../../shared/core/errors.js";
import { stepCount } from "../../shared/farm/parameters.js";
import type { FarmEvent } from "../plan/events.js";
import type { NewJob } from "../plan/job.js";
import type { NodeInfo } from "../plan/node.js";

/** Seeds are 64-bit, which JSON numbers are not. */
const BIGINT_KEY = "$bigint";

/** An event that this program does not know must not be passed over in silence. */
const KNOWN_KINDS = {
  "farm-started": true,
  "node-joined": true,
  "node-left": true,
  "node-stopping": true,
  "node-drained": true,
  "node-undrained": true,
  "job-created": true,
  "job-due": true,
  "job-admitted": true,
  "job-paused": true,
  "job-resumed": true,
  "job-prioritized": true,
  "job-cancelled": true,
  "job-expired": true,
  "job-retried": true,
  "job-swept": true,
  "job-deleted": true,
  "task-granted": true,
  "task-asked-to-yield": true,
  "task-given-up": true,
  "task-finished": true,
  "task-failed": true,
  "task-checkpointed": true,
  "task-ending": true,
  "task-yielded": true,
  "pair-broken": true,
  "clip-published": true,
} as const satisfies Record<FarmEvent["kind"], true>;

export function encodeEvent(event: FarmEvent): string {
  return JSON.stringify(event, (_key, value: unknown) =>
    typeof value === "bigint" ? { [BIGINT_KEY]: value.toString() } : value,
  );
}

/**
 * Only for records of our own journal, whose integrity its adapter has checked.
 *
 * @throws FarmError "wrong-state" for an event of a newer program
 */
export function decodeEvent(record: string): FarmEvent {
  // Looking at every value takes several times as long as the parsing.
  const event = (
    record.includes(BIGINT_KEY) ? JSON.parse(record, reviveBigint) : JSON.parse(record)
  ) as FarmEvent;
  if (!Object.hasOwn(KNOWN_KINDS, event.kind)) {
    throw new FarmError("wrong-state", `this program knows no event '${event.kind}'`);
  }
  return completed(event);
}

/** Fields that the events of earlier versions lack, as those would have filled them in. */
function completed(event: FarmEvent): FarmEvent {
  if (event.kind === "node-joined") {
    const node: Partial<NodeInfo> = event.node;
    const { memoryBytes = 0, prefers = "any" } = node;
    return { ...event, node: { ...event.node, memoryBytes, prefers } };
  }
  if (event.kind !== "job-created") return event;
  const job: Partial<NewJob> = event.job;
  const { stepsTotal = stepCount(event.job.parameters), deadlineMs = null } = job;
  const { traceparent = null, labels = {}, requestDigest = "" } = job;
  return {
    ...event,
    job: { ...event.job, stepsTotal, deadlineMs, traceparent, labels, requestDigest },
  };
}

function reviveBigint(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !(BIGINT_KEY in value)) return value;
  return BigInt(String(value[BIGINT_KEY]));
}
