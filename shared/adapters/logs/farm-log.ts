/**
 * @file The log of a process: JSON lines on stderr, with the trace of a job beside its id, and without
 * secrets, whoever wrote them there.
 */
import pino from "pino";
import { traceOfJob } from "../../core/trace-context.js";
import { scrubFields, scrubText } from "./scrub.js";

export interface FarmLogOptions {
  /** Of the program, as in "coordinator". */
  readonly name: string;
  readonly level?: string;
  /** Fields of every line. */
  readonly base?: Readonly<Record<string, string | number>>;
  /** Default: stderr, written at once. */
  readonly destination?: pino.DestinationStream;
}

export function farmLog({ name, level, base, destination }: FarmLogOptions): pino.Logger {
  return pino(
    {
      name,
      level: level ?? "info",
      base: { ...base, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: (error: unknown) => error },
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => withTrace(scrubFields(fields) as Record<string, unknown>),
      },
      hooks: {
        logMethod(args, method) {
          const scrubbed = args.map((arg) => (typeof arg === "string" ? scrubText(arg) : arg));
          method.apply(this, scrubbed as typeof args);
        },
      },
    },
    destination ?? pino.destination({ fd: 2, sync: true }),
  );
}

/** Where a line names a job and no trace: the one that follows from the job's id. */
function withTrace(fields: Record<string, unknown>): Record<string, unknown> {
  const { job_id: jobId } = fields;
  if ("trace_id" in fields) return fields;
  return typeof jobId === "string"
    ? { ...fields, trace_id: traceOfJob(jobId, null).traceId }
    : fields;
}
