/** @file The timeline: a chart for the eye, and the same as a table. */
import { lazy, Suspense } from "preact/compat";
import { useState } from "preact/hooks";
import type { IntervalJson } from "../api/types.js";
import { seconds, shortId } from "../format.js";
import { timeline } from "../state/timeline.js";
import { KINDS, kindOf, kindWord } from "./timeline-kinds.js";
import { PARTS, spentWords } from "./timeline-parts.js";

const TimelineChart = lazy(() =>
  import("./timeline-chart.js").then(({ TimelineChart: chart }) => ({ default: chart })),
);

const SPANS = [
  { label: "1 min", seconds: 60 },
  { label: "10 min", seconds: 600 },
  { label: "all", seconds: Number.POSITIVE_INFINITY },
];

export function TimelinePanel() {
  const [span, setSpan] = useState(60);
  const told = timeline.value;
  return (
    <section class="panel timeline" aria-labelledby="timeline-title">
      <div class="panel-head">
        <h2 id="timeline-title">Timeline</h2>
        <fieldset class="segments" aria-label="How much time is shown">
          {SPANS.map((choice) => (
            <button
              key={choice.label}
              type="button"
              class="segment"
              aria-pressed={span === choice.seconds}
              onClick={() => setSpan(choice.seconds)}
            >
              {choice.label}
            </button>
          ))}
        </fieldset>
      </div>
      <ul class="legend">
        {KINDS.map(({ kind, word }) => (
          <li key={kind} class={`legend-item legend-${kind}`}>
            {word}
          </li>
        ))}
        {PARTS.map(({ part, word }) => (
          <li key={part} class={`legend-item legend-part-${part}`}>
            {word}
          </li>
        ))}
      </ul>
      {told === null || told.intervals.length === 0 ? (
        <p class="quiet">
          Nothing was worked on since the coordinator started. Submit a picture and come back.
        </p>
      ) : (
        <>
          <Suspense fallback={<p class="quiet">Drawing…</p>}>
            <TimelineChart told={told} spanSeconds={span} />
          </Suspense>
          <details class="more">
            <summary>The same as a table</summary>
            <IntervalTable intervals={told.intervals} />
          </details>
        </>
      )}
    </section>
  );
}

/** Rows of the table; the chart shows all. */
const ROWS_MAX = 100;

function IntervalTable({ intervals }: { readonly intervals: readonly IntervalJson[] }) {
  return (
    <section class="table-scroll" aria-label="Latest work">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Node</th>
            <th scope="col">Work</th>
            <th scope="col">Job</th>
            <th scope="col">Start</th>
            <th scope="col" class="cell-number">
              Took
            </th>
            <th scope="col">End</th>
            <th scope="col">Spent on</th>
          </tr>
        </thead>
        <tbody>
          {intervals
            .slice(-ROWS_MAX)
            .reverse()
            .map((interval) => (
              <tr key={`${interval.nodeId}${interval.taskId}${interval.startTime}`}>
                <th scope="row" class="mono">
                  {interval.nodeId}
                </th>
                <td>{kindWord(kindOf(interval), interval)}</td>
                <td>
                  <a class="mono" href="#queue">
                    {shortId(interval.jobId)}
                  </a>
                </td>
                <td>{new Date(interval.startTime).toLocaleTimeString()}</td>
                <td class="cell-number">{tookOf(interval)}</td>
                <td>{interval.end ?? "goes on"}</td>
                <td>{spentOf(interval)}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </section>
  );
}

function tookOf(interval: IntervalJson): string {
  return interval.endTime === null ? "–" : seconds(tookSecondsOf(interval, interval.endTime));
}

/** Once it has ended: until then the rest grows with every moment. */
function spentOf(interval: IntervalJson): string {
  const { spent, endTime, half } = interval;
  if (spent === null || endTime === null) return "–";
  return spentWords(spent, tookSecondsOf(interval, endTime), half !== null, seconds);
}

function tookSecondsOf({ startTime }: IntervalJson, endTime: string): number {
  return (Date.parse(endTime) - Date.parse(startTime)) / 1000;
}
