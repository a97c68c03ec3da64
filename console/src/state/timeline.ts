/** @file Who worked on what lately, asked for again while something changes and somebody looks. */
import { computed, effect, signal } from "@preact/signals";
import { api } from "../api/client.js";
import type { IntervalJson, TimelineJson } from "../api/types.js";
import { farm, jobs } from "./farm.js";
import { view } from "./route.js";

const REFRESH_MS = 700;

export const timeline = signal<TimelineJson | null>(null);

/** Seconds of the latest measured step of each node. */
export const lastSecondsPerStep = computed(() => {
  const known = (timeline.value?.intervals ?? []).filter(
    ({ secondsPerStep }) => secondsPerStep > 0,
  );
  return new Map(known.map(({ nodeId, secondsPerStep }) => [nodeId, secondsPerStep]));
});

/** Part of the remembered time that each node worked, 0 to 1. */
export const busyShare = computed(() => {
  const { intervals = [], time = "" } = timeline.value ?? {};
  const endMs = Date.parse(time);
  const startMs = Math.min(...intervals.map(({ startTime }) => Date.parse(startTime)));
  const shares = new Map<string, number>();
  for (const [nodeId, own] of byNode(intervals)) {
    let busyMs = 0;
    let untilMs = startMs;
    // A node writes files while it denoises: what overlaps counts once.
    for (const interval of own) {
      const from = Math.max(untilMs, Date.parse(interval.startTime));
      const to = interval.endTime === null ? endMs : Date.parse(interval.endTime);
      if (to > from) busyMs += to - from;
      untilMs = Math.max(untilMs, to);
    }
    shares.set(nodeId, Math.min(1, busyMs / Math.max(1, endMs - startMs)));
  }
  return shares;
});

export function byNode(
  intervals: readonly IntervalJson[],
): ReadonlyMap<string, readonly IntervalJson[]> {
  const lanes = new Map<string, IntervalJson[]>();
  for (const interval of intervals) {
    const lane = lanes.get(interval.nodeId) ?? [];
    lane.push(interval);
    lanes.set(interval.nodeId, lane);
  }
  return lanes;
}

/** Asks at most once a moment, and only while the farm is looked at. */
let isWaiting = false;
effect(() => {
  const isWanted = view.value === "farm" && farm.value !== null && jobs.value !== null;
  if (!isWanted || isWaiting) return;
  isWaiting = true;
  const wait = timeline.peek() === null ? 0 : REFRESH_MS;
  setTimeout(() => {
    isWaiting = false;
    api.timeline().then(
      (told) => {
        timeline.value = told;
      },
      () => {}, // the header says that the farm does not answer
    );
  }, wait);
});
