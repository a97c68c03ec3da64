import { beforeEach, expect, test } from "vitest";
import type { JobSpan } from "../../shared/adapters/tracing/job-tracer.js";
import {
  formatTraceparent,
  parseTraceparent,
  traceOfJob,
} from "../../shared/core/trace-context.js";
import type { TaskAssignment } from "../../shared/farm/work.js";
import { NodeTraces } from "./traces.js";

const jobId = "0123456789abcdefghjkmnpqrs";
const job = traceOfJob(jobId, null);
const result = { blob: null, outputs: [], seconds: 1, secondsPerStep: 0 };

let nowMs: number;
let spans: JobSpan[];
let traces: NodeTraces;

beforeEach(() => {
  nowMs = 1_000;
  spans = [];
  const tracer = { record: (span: JobSpan) => void spans.push(span), close: async () => {} };
  traces = new NodeTraces(tracer, "node-1", () => nowMs);
});

function assign(stage: "denoise" | "decode", traceparent = formatTraceparent(job)): string {
  const taskId = `${jobId}-0-${stage}`;
  const ids = { taskId, jobId, clipId: `${jobId}-0`, epoch: 2, attempt: 1, traceparent };
  traces.observer.assigned({ ...ids, work: { stage, pair: null } } as TaskAssignment & object);
  return taskId;
}

const partner = { ...job, spanId: "6b".repeat(8) };

test("a task's span stands under the job's, begins when it starts, and tells how long it waited", () => {
  const taskId = assign("decode");
  nowMs = 3_000;
  traces.observer.started(taskId);
  nowMs = 4_500;
  traces.observer.reported(taskId, { kind: "finished", result });
  expect(spans).toEqual([
    expect.objectContaining({
      ...{ name: "decode", parentSpanId: job.spanId, startMs: 3_000, endMs: 4_500, failure: null },
      context: expect.objectContaining({ traceId: job.traceId }),
      facts: expect.objectContaining({
        "renderfarm.node_id": "node-1",
        "renderfarm.waited_seconds": 2,
        "renderfarm.outcome": "finished",
      }),
    }),
  ]);
});

test("a denoising counts its own steps, also where the next one is assigned meanwhile", () => {
  const first = assign("denoise");
  traces.observer.started(first);
  traces.observer.stepMade("single", 1);
  const [own] = [traces.traceparentOf(first)];
  traces.observer.assigned({
    ...{ taskId: "next", jobId, clipId: `${jobId}-1`, epoch: 1, attempt: 1 },
    ...{ traceparent: formatTraceparent(job), work: { stage: "denoise", pair: null } },
  } as TaskAssignment & object);
  traces.observer.stepMade("single", 1);
  traces.observer.reported(first, { kind: "finished", result });
  expect(spans[0]?.facts).toMatchObject({ "renderfarm.steps": 2 });
  expect(spans[0]?.context).toEqual(parseTraceparent(own ?? ""));
});

test("the halves of a partner are linked to, once", () => {
  const taskId = assign("denoise");
  traces.observer.started(taskId);
  for (let i = 0; i < 3; i++) traces.observer.halfCame(formatTraceparent(partner));
  traces.observer.halfCame(null);
  traces.observer.reported(taskId, { kind: "finished", result });
  expect(spans[0]?.links).toEqual([partner]);
});

test("a replica that the coordinator no longer needs has a span; a cancel of another grant ends none", () => {
  const taskId = assign("denoise");
  traces.observer.cancelled(taskId, 1);
  expect(spans).toEqual([]);
  traces.observer.cancelled(taskId, 2);
  expect(spans[0]?.facts).toMatchObject({ "renderfarm.outcome": "cancelled" });
});

test("what a node loses with its coordinator ended badly", () => {
  assign("denoise");
  traces.observer.linked(false);
  expect(spans[0]).toMatchObject({ failure: "cut off from the coordinator" });
});

test("a partner is told of a span only where the client wants it kept", () => {
  expect(traces.traceparentOf(assign("denoise"))).toMatch(/^00-/);
  const unsampled = formatTraceparent({ ...job, isSampled: false });
  expect(traces.traceparentOf(assign("denoise", unsampled))).toBeNull();
});
