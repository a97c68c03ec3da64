/**
 * @file Spans of jobs for OpenTelemetry: one trace a job, over all processes.
 *
 * Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set; then everything else is read from OTEL_* as
 * OpenTelemetry's own exporter does. The libraries are loaded only then.
 */
import type { Resource } from "@opentelemetry/resources";
import type { SpanExporter } from "@opentelemetry/sdk-trace";
import type { TraceContext } from "../../core/trace-context.js";

export type SpanFacts = Readonly<Record<string, string | number | boolean>>;

export interface JobSpan {
  readonly jobId: string;
  readonly name: string;
  /** Its own trace and span; spans that are not sampled are not recorded. */
  readonly context: TraceContext;
  /** Id of the span under which it stands; null: the trace begins with it. */
  readonly parentSpanId: string | null;
  /** Spans elsewhere that it met, as the partner's in a pair. */
  readonly links: readonly TraceContext[];
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

/** The process whose spans they are, under OpenTelemetry's names. */
export interface TracedService {
  /** service.name, unless OTEL_SERVICE_NAME says another. */
  readonly name: string;
  /** service.version. */
  readonly version: string;
  /** service.instance.id; absent where one name has one process. */
  readonly instance?: string;
}

/** @returns null where no collector is named */
export async function openTracer(
  service: TracedService,
  env: Environment,
): Promise<JobTracer | null> {
  if (!env["OTEL_EXPORTER_OTLP_ENDPOINT"]) return null;
  const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-http");
  return tracerTo(new OTLPTraceExporter(), service);
}

/** @param exporter takes the spans; a test has one in memory */
export async function tracerTo(exporter: SpanExporter, service: TracedService): Promise<JobTracer> {
  const { ROOT_CONTEXT, SpanStatusCode, TraceFlags, trace } = await import("@opentelemetry/api");
  const { BatchSpanProcessor, RandomIdGenerator, TracerProvider } = await import(
    "@opentelemetry/sdk-trace"
  );
  const spanContextOf = ({ traceId, spanId, isSampled }: TraceContext) => ({
    ...{ traceId, spanId, isRemote: true },
    traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
  });
  const random = new RandomIdGenerator();
  // The library makes ids when a span starts; ours are known before, since other processes name them.
  let starting: TraceContext | null = null;
  const provider = new TracerProvider({
    resource: await resourceOf(service),
    spanProcessors: [new BatchSpanProcessor({ exporter })],
    idGenerator: {
      generateTraceId: () => starting?.traceId ?? random.generateTraceId(),
      generateSpanId: () => starting?.spanId ?? random.generateSpanId(),
    },
  });
  const tracer = provider.getTracer("renderfarm");
  return {
    record({ jobId, name, context, parentSpanId, links, startMs, endMs, facts, failure }) {
      if (!context.isSampled) return;
      const parent = parentSpanId && spanContextOf({ ...context, spanId: parentSpanId });
      const attributes = { "renderfarm.job_id": jobId, ...facts };
      starting = context;
      const made = tracer.startSpan(
        name,
        {
          ...{ startTime: startMs, attributes },
          links: links.map((link) => ({ context: spanContextOf(link) })),
        },
        parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT,
      );
      starting = null;
      if (failure !== null) made.setStatus({ code: SpanStatusCode.ERROR, message: failure });
      made.end(endMs);
    },
    close: () => provider.shutdown(),
  };
}

/** What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before what we know. */
async function resourceOf({ name, version, instance }: TracedService): Promise<Resource> {
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = await import(
    "@opentelemetry/resources"
  );
  const own = resourceFromAttributes({
    ...{ "service.name": name, "service.version": version },
    ...(instance === undefined ? {} : { "service.instance.id": instance }),
  });
  const told = detectResources({ detectors: [envDetector] });
  return defaultResource().merge(own).merge(told);
}
