import { expect, test } from "vitest";
import { NODE_HOLD_DOWN_MS, NODE_LOSSES_WINDOW_MS } from "./limits.js";
import { NEW_NODE_RECORD } from "./node.js";
import type { NodeRecordEvent } from "./node-machine.js";
import { reduceNodeRecord, refusalOf } from "./node-machine.js";

const failed = (jobId: string): NodeRecordEvent => ({ kind: "task-failed", jobId });
const lost = (atMs: number): NodeRecordEvent => ({ kind: "lost", atMs });
const joined = (atMs: number): NodeRecordEvent => ({ kind: "joined", atMs });
const done: NodeRecordEvent = { kind: "task-done" };
const LATE = NODE_LOSSES_WINDOW_MS;

test.each<[string, NodeRecordEvent[], nowMs: number, refusal: string | null]>([
  ["a new node", [joined(0)], 0, null],
  ["drained", [{ kind: "drained" }], 0, "draining"],
  ["undrained", [{ kind: "drained" }, { kind: "undrained" }], 0, null],
  ["two jobs failed on it", [failed("a"), failed("b")], 0, null],
  ["one job failed three times on it", [failed("a"), failed("a"), failed("a")], 0, null],
  ["three jobs failed on it", [failed("a"), failed("b"), failed("c")], 0, "quarantined"],
  ["a success between failures", [failed("a"), failed("b"), done, failed("c")], 0, null],
  ["its device was lost once", [{ kind: "device-lost" }], 0, "quarantined"],
  ["quarantined, then undrained", [{ kind: "device-lost" }, { kind: "undrained" }], 0, null],
  ["lost twice in a row", [lost(1), joined(2), lost(3), joined(4)], 4, null],
  ["lost three times in a row", [lost(1), lost(2), lost(3), joined(4)], 4, "held down"],
  [
    "held down to the end of its time",
    [lost(1), lost(2), lost(3), joined(4)],
    4 + NODE_HOLD_DOWN_MS,
    null,
  ],
  [
    "held down, when the clock is set back by an hour",
    [lost(1), lost(2), lost(3), joined(4)],
    4 - 3_600_000,
    null,
  ],
  [
    "lost three times, before the clock was set back",
    [lost(LATE + 4), lost(LATE + 5), lost(LATE + 6), joined(5)],
    5,
    null,
  ],
  ["lost three times, long ago", [lost(1), lost(2), lost(3), joined(LATE + 3)], LATE + 3, null],
])("%s", (_name, events, nowMs, refusal) => {
  const record = events.reduce(reduceNodeRecord, NEW_NODE_RECORD);
  expect(refusalOf(record, nowMs)).toBe(refusal);
});
