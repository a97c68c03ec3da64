import { InMemorySpanExporter, type ReadableSpan } from "@opentelemetry/sdk-trace";
import { expect, onTestFinished, test } from "vitest";
import { OtlpReceiver } from "../../../test/servers/otlp-receiver.js";
import { traceOfJob } from "../../core/trace-context.js";
import { type JobSpan, openTracer, tracerTo } from "./job-tracer.js";

const jobId = "0123456789abcdefghjkmnpqrs";
const SINCE_MS = 1_700_000_000_000;
const job = traceOfJob(jobId, null);
const own = { ...job, spanId: "5a".repeat(8) };
const partner = { ...job, spanId: "6b".repeat(8) };
const service = { name: "renderfarm-gpu-node", version: "1.2.3", instance: "node-1" };
const span = (change: Partial<JobSpan> = {}): JobSpan => ({
  ...{ jobId, name: "denoise", context: own, parentSpanId: job.spanId, links: [partner] },
  ...{ startMs: SINCE_MS, endMs: SINCE_MS + 2_000 },
  ...{ facts: { "renderfarm.stage": "denoise" }, failure: null },
  ...change,
});

async function recorded(...spans: readonly JobSpan[]): Promise<readonly ReadableSpan[]> {
  const exporter = new InMemorySpanExporter();
  const tracer = await tracerTo(exporter, service);
  for (const each of spans) tracer.record(each);
  let kept: ReadableSpan[] = [];
  // The library forgets them when it is shut down.
  exporter.shutdown = async () => {
    kept = exporter.getFinishedSpans();
  };
  await tracer.close();
  return kept;
}

test("a span has the ids that other processes know, its parent, its links and its process", async () => {
  const root = span({ name: "job", context: job, parentSpanId: null, links: [] });
  const [made, task] = await recorded(root, span());
  expect(made?.spanContext()).toMatchObject({ traceId: job.traceId, spanId: job.spanId });
  expect(made?.parentSpanContext).toBeUndefined();
  expect(task?.spanContext()).toMatchObject({ traceId: job.traceId, spanId: own.spanId });
  expect(task?.parentSpanContext?.spanId).toBe(job.spanId);
  expect(task?.links.map(({ context }) => context.spanId)).toEqual([partner.spanId]);
  expect(task?.duration).toEqual([2, 0]);
  expect(task?.resource.attributes).toMatchObject({
    "service.name": "renderfarm-gpu-node",
    "service.version": "1.2.3",
    "service.instance.id": "node-1",
  });
});

test("what the client does not sample is not recorded", async () => {
  expect(await recorded(span({ context: { ...own, isSampled: false } }))).toEqual([]);
});

test("nothing is traced where no collector is named", async () => {
  expect(await openTracer(service, {})).toBeNull();
});

test("spans go to the collector that the environment names, under the name that it gives", async () => {
  const receiver = await OtlpReceiver.start();
  onTestFinished(() => receiver.stop());
  process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.endpoint;
  process.env["OTEL_SERVICE_NAME"] = "my-farm";
  onTestFinished(() => {
    delete process.env["OTEL_EXPORTER_OTLP_ENDPOINT"];
    delete process.env["OTEL_SERVICE_NAME"];
  });
  const tracer = await openTracer(service, process.env);
  tracer?.record(span({ failure: "out of memory" }));
  await tracer?.close();
  expect(receiver.spans).toEqual([
    expect.objectContaining({ name: "denoise", service: "my-farm", failure: "out of memory" }),
  ]);
});
