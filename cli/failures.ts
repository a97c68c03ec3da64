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

/** Finished files that have no place on this machine; the farm still has them. */
export class OutputFailure extends FarmError {
  /** @param reason as the system has it: "ENOSPC: no space left on device, write" */
  constructor(reason: string, options: ErrorOptions) {
    const violations = [{ field: "--out", description: `cannot be written: ${reason}` }];
    super("invalid-argument", `--out: cannot be written: ${reason}`, { ...options, violations });
  }
}

/** The error, and for files that have no place here how to fetch them to another one. */
export function withFilesElsewhere(error: unknown, jobId: string): unknown {
  if (!(error instanceof OutputFailure)) return error;
  const way = `the job is done; renderfarm download ${jobId} --out ELSEWHERE fetches its files`;
  return new OutputFailure(`${error.detail.replace("--out: cannot be written: ", "")}; ${way}`, {
    cause: error,
  });
}

/** The exit code of a command that ended with this error. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof FarmError) || error instanceof JobFailure) return EXIT.jobFailed;
  if (error instanceof WaitTimeout) return EXIT.timedOut;
  return EXIT_OF_CODE[error.code] ?? EXIT.jobFailed;
}

/**
 * The lines for stderr; every mistake on a line of its own. A bug comes with its stack.
 *
 * @param isVerbose with what each error came from, stacks included
 */
export function explain(error: unknown, isVerbose = false): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (!isVerbose || cause === undefined) return explainAlone(error);
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  return `${explainAlone(error)}\ncaused by: ${text}`;
}

function explainAlone(error: unknown): string {
  if (!(error instanceof FarmError)) return error instanceof Error ? `${error.stack}` : `${error}`;
  if (error instanceof WaitTimeout) return error.detail;
  const { code, detail, violations } = error;
  if (violations.length === 0) return `error (${code}): ${visible(detail)}`;
  const count = violations.length === 1 ? "1 problem" : `${violations.length} problems`;
  const lines = violations.map((v) => `  ${visible(v.field)}: ${visible(v.description)}`);
  return [`error: ${count}`, ...lines].join("\n");
}

/** Names of files may hold anything, also what would move a terminal's cursor. */
function visible(text: string): string {
  return text.replace(/\p{Cc}/gu, (sign) => JSON.stringify(sign).slice(1, -1));
}
