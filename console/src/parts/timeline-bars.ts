/** @file The bars of the timeline: the work of each node, and the time between when it waited. */
import type { IntervalJson, TimelineJson } from "../api/types.js";
import { byNode } from "../state/timeline.js";
import { type Kind, kindOf } from "./timeline-kinds.js";

export interface Bar {
  /** Index of the node's lane. */
  readonly lane: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly kind: Kind;
  /** It goes on. */
  readonly isOpen: boolean;
  /** Its work came to nothing. */
  readonly isLost: boolean;
  /** Null for a wait. */
  readonly interval: IntervalJson | null;
}

/** A gap that is shorter is a breath, not a wait. */
const WAIT_MS_MIN = 30;

/**
 * @param lanes node ids from top to bottom
 * @returns the work first, then the waits: times when a node had nothing to do while another worked
 */
export function barsOf(told: TimelineJson, lanes: readonly string[]): Bar[] {
  const nowMs = Date.parse(told.time);
  const work = told.intervals.map(
    (interval): Bar => ({
      lane: lanes.indexOf(interval.nodeId),
      startMs: Date.parse(interval.startTime),
      endMs: interval.endTime === null ? nowMs : Date.parse(interval.endTime),
      kind: kindOf(interval),
      isOpen: interval.endTime === null,
      isLost: interval.end === "failed" || interval.end === "node lost",
      interval,
    }),
  );
  const busy = merged(work);
  const waits = [...byNode(told.intervals).keys()].flatMap((nodeId) => {
    const lane = lanes.indexOf(nodeId);
    const own = merged(work.filter((bar) => bar.lane === lane && bar.kind !== "mux"));
    return busy.flatMap((span) => gapsIn(span, own).map((gap) => waitOf(lane, gap)));
  });
  return [...work, ...waits];
}

interface Span {
  readonly startMs: number;
  readonly endMs: number;
}

function waitOf(lane: number, gap: Span): Bar {
  return { ...gap, lane, kind: "waiting", isOpen: false, isLost: false, interval: null };
}

/** Overlapping and touching spans as one. */
function merged(spans: readonly Span[]): Span[] {
  const result: { startMs: number; endMs: number }[] = [];
  for (const { startMs, endMs } of [...spans].sort((a, b) => a.startMs - b.startMs)) {
    const last = result.at(-1);
    if (last && startMs <= last.endMs + WAIT_MS_MIN) last.endMs = Math.max(last.endMs, endMs);
    else result.push({ startMs, endMs });
  }
  return result;
}

/** The parts of a span that none of the others covers. */
function gapsIn(span: Span, covered: readonly Span[]): Span[] {
  const gaps: Span[] = [];
  let atMs = span.startMs;
  for (const { startMs, endMs } of covered) {
    if (endMs <= span.startMs || startMs >= span.endMs) continue;
    if (startMs - atMs > WAIT_MS_MIN) gaps.push({ startMs: atMs, endMs: startMs });
    atMs = Math.max(atMs, endMs);
  }
  if (span.endMs - atMs > WAIT_MS_MIN) gaps.push({ startMs: atMs, endMs: span.endMs });
  return gaps;
}
