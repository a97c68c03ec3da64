/** @file What ends a command: its exit code, and what is said of it. */
import { FarmError, type FarmErrorCode } from "../shared/core/errors.js";

const EXIT = {
  ok: 0,
  jobFailed: 1,
  usage: 2,
  unreachable: 3,
  refused: 4,
  cancelled: 5,
  timedOut: 124,
} as const;

const EXIT_OF_CODE: Partial<Record<FarmErrorCode, number>> = {
  "invalid-argument": EXIT.usage,
  "checkpoint-invalid": EXIT.usage,
  "not-found": EXIT.usage,
  unreachable: EXIT.unreachable,
  deadline: EXIT.unreachable,
  exhausted: EXIT.refused,
  unauthenticated: EXIT.refused,
  "permission-denied": EXIT.refused,
  "wrong-state": EXIT.refused,
  cancelled: EXIT.cancelled,
};

/** A job that was taken and then failed: whatever its code, the command's exit code is 1. */
export class JobFailure extends FarmError {}

/** A wait that took longer than it was allowed to; the job goes on. */
export class WaitTimeout extends FarmError {}

/** The exit code of a command that ended with this error. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof FarmError) || error instanceof JobFailure) return EXIT.jobFailed;
  if (error instanceof WaitTimeout) return EXIT.timedOut;
  return EXIT_OF_CODE[error.code] ?? EXIT.jobFailed;
}

/** The lines for stderr; every mistake on a line of its own. A bug comes with its stack. */
export function explain(error: unknown): string {
  if (!(error instanceof FarmError)) return error instanceof Error ? `${error.stack}` : `${error}`;
  if (error instanceof WaitTimeout) return error.detail;
  const { code, detail, violations } = error;
  if (violations.length === 0) return `error (${code}): ${detail}`;
  const count = violations.length === 1 ? "1 problem" : `${violations.length} problems`;
  return [`error: ${count}`, ...violations.map((v) => `  ${v.field}: ${v.description}`)].join("\n");
}
