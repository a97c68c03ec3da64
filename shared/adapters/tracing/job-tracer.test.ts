import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { InMemorySpanExporter } from "@opentelemetry/sdk-trace";
import { expect, onTestFinished, test } from "vitest";
import { rootSpanIdOf, traceIdOf } from "../../core/trace-ids.js";
import { type JobSpan, openTracer, tracerTo } from "./job-tracer.js";

const jobId = "0123456789abcdefghjkmnpqrs";
const SINCE_MS = 1_700_000_000_000;
const span = (change: Partial<JobSpan>): JobSpan => ({
  ...{ jobId, name: "denoise", isRoot: false, startMs: SINCE_MS, endMs: SINCE_MS + 2_000 },
  ...{ facts: { "renderfarm.stage": "denoise" }, failure: null },
  ...change,
});

test("spans of two processes are one trace: the job's, with the tasks under it", async () => {
  const kept: {
    name: string;
    trace: string;
    id: string;
    parent: string | undefined;
    ms: number;
  }[] = [];
  for (const mine of [span({ name: "job", isRoot: true, endMs: SINCE_MS + 8_000 }), span({})]) {
    const exporter = new InMemorySpanExporter();
    const tracer = await tracerTo(exporter, "test");
    tracer.record(mine);
    exporter.shutdown = async () => {
      for (const made of exporter.getFinishedSpans()) {
        const { traceId: trace, spanId: id } = made.spanContext();
        const ms = made.duration[0] * 1_000;
        kept.push({ name: made.name, trace, id, parent: made.parentSpanContext?.spanId, ms });
      }
    };
    await tracer.close();
  }
  const trace = traceIdOf(jobId);
  const root = rootSpanIdOf(jobId);
  expect(kept).toEqual([
    { name: "job", trace, id: root, parent: undefined, ms: 8_000 },
    { name: "denoise", trace, id: expect.not.stringMatching(root), parent: root, ms: 2_000 },
  ]);
});

test("nothing is traced where no collector is named", async () => {
  expect(await openTracer("test", {})).toBeNull();
});

test("spans go to the collector that the environment names", async () => {
  const bodies: string[] = [];
  const collector = createServer((request, response) => {
    request.on("data", (piece: Buffer) =>
      bodies.push(`${request.url} ${piece.toString("latin1")}`),
    );
    request.on("end", () => response.writeHead(200).end("{}"));
  });
  await new Promise<void>((resolve) => void collector.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void collector.close());
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint;
  onTestFinished(() => void delete process.env["OTEL_EXPORTER_OTLP_ENDPOINT"]);
  const tracer = await openTracer("test", process.env);
  tracer?.record(span({ failure: "out of memory" }));
  await tracer?.close();
  expect(bodies.join("\n")).toMatch(/^\/v1\/traces .*denoise.*out of memory/s);
});
