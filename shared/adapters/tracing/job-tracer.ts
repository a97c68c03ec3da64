/**
 * @file Spans of jobs for OpenTelemetry: one trace a job, over all processes.
 *
 * Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set; then everything else is read from OTEL_* as
 * OpenTelemetry's own exporter does. The libraries are loaded only then.
 */
import type { SpanExporter } from "@opentelemetry/sdk-trace";
import { rootSpanIdOf, traceIdOf } from "../../core/trace-ids.js";

export type SpanFacts = Readonly<Record<string, string | number | boolean>>;

export interface JobSpan {
  readonly jobId: string;
  readonly name: string;
  /** The span that stands for the whole job; every other one is its child. */
  readonly isRoot: boolean;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  readonly endMs: number;
  readonly facts: SpanFacts;
  /** Why it did not end well; null when it did. */
  readonly failure: string | null;
}

export interface JobTracer {
  /** Writes one span; never throws, never waits. */
  record(span: JobSpan): void;
  /** Sends what there is. */
  close(): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @returns null where no collector is named */
export async function openTracer(service: string, env: Environment): Promise<JobTracer | null> {
  if (!env["OTEL_EXPORTER_OTLP_ENDPOINT"]) return null;
  const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-http");
  return tracerTo(new OTLPTraceExporter(), service);
}

/** @param exporter takes the spans; a test has one in memory */
export async function tracerTo(exporter: SpanExporter, service: string): Promise<JobTracer> {
  const { ROOT_CONTEXT, SpanStatusCode, TraceFlags, trace } = await import("@opentelemetry/api");
  const { BatchSpanProcessor, RandomIdGenerator, TracerProvider } = await import(
    "@opentelemetry/sdk-trace"
  );
  const random = new RandomIdGenerator();
  let root: JobSpan | null = null;
  const provider = new TracerProvider({
    spanProcessors: [new BatchSpanProcessor({ exporter })],
    idGenerator: {
      generateTraceId: () => (root ? traceIdOf(root.jobId) : random.generateTraceId()),
      generateSpanId: () => (root ? rootSpanIdOf(root.jobId) : random.generateSpanId()),
    },
  });
  const tracer = provider.getTracer("renderfarm");
  return {
    record(span) {
      const { jobId, name, isRoot, startMs, endMs, facts, failure } = span;
      const parent = trace.setSpanContext(ROOT_CONTEXT, {
        traceId: traceIdOf(jobId),
        spanId: rootSpanIdOf(jobId),
        traceFlags: TraceFlags.SAMPLED,
        isRemote: true,
      });
      root = isRoot ? span : null;
      const attributes = { "service.component": service, "renderfarm.job_id": jobId, ...facts };
      const made = tracer.startSpan(
        name,
        { startTime: startMs, attributes, root: isRoot },
        isRoot ? ROOT_CONTEXT : parent,
      );
      root = null;
      if (failure !== null) made.setStatus({ code: SpanStatusCode.ERROR, message: failure });
      made.end(endMs);
    },
    close: () => provider.shutdown(),
  };
}
