/**
 * @file The errors that cross a boundary of this project.
 *
 * Three kinds of trouble stay apart: *operating* errors (`FarmError`, handled), *bugs* (`assert`,
 * crash the process), *expected answers* (a refused plan, a stale event: data, never thrown).
 */

/** What the caller may do next; "never" means that a retry cannot help. */
export type Retry = "same-node" | "other-node" | "never";

const RETRY_BY_CODE = {
  /** A value from a user is outside its legal range; `violations` names every one. */
  "invalid-argument": "never",
  /** A checkpoint folder is missing, damaged or inconsistent. */
  "checkpoint-invalid": "never",
  /** A graph was built with shapes that do not fit each other. */
  "graph-shape-mismatch": "never",
  /** The thing asked for does not exist. */
  "not-found": "never",
  /** The thing exists and its state forbids the request. */
  "wrong-state": "never",
  /** Nobody, or somebody who cannot show who they are, asks. */
  unauthenticated: "never",
  /** Who asks is known, and may not. */
  "permission-denied": "never",
  /** The farm is full, or a quota of the caller is; come back later. */
  exhausted: "same-node",
  /** The other side cannot be reached, or went away. */
  unreachable: "same-node",
  /** Nothing came before the deadline. */
  deadline: "other-node",
  /** A blob that a record names is not in the store. */
  "blob-missing": "same-node",
  /** Bytes do not have the checksum that their record names. */
  "blob-corrupt": "same-node",
  /** The runtime child of a node ended, or could not run a graph. */
  "runtime-failed": "other-node",
  /** A graph produced NaN or infinity. */
  numerical: "other-node",
  /** The accelerator has no memory for it; a bigger one may have. */
  "out-of-memory": "other-node",
  /** The accelerator or its driver is gone; the node needs a human. */
  "device-lost": "other-node",
  /** A job that this one depends on has not succeeded. */
  "dependency-failed": "never",
  /** Tasks of the job failed on so many nodes that the job itself is at fault; retry it to try again. */
  quarantined: "never",
  /** A tool this machine lacks (ffmpeg), or one that failed. */
  "tool-failed": "other-node",
  /** The work was cancelled by its owner or by the coordinator. */
  cancelled: "never",
} as const satisfies Record<string, Retry>;

export type FarmErrorCode = keyof typeof RETRY_BY_CODE;

/** One wrong field: its name as the user wrote it, and a sentence with value, range and way out. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** Which bound was reached, of whom, and when it may be worth another try. */
export interface Bound {
  /** E.g. "owner:alice". */
  readonly subject: string;
  readonly retryAfterMs: number;
}

/** What an error is about. */
export interface Thing {
  readonly kind: "job" | "clip" | "output" | "node";
  /** As in AIP-122: "jobs/0123", "jobs/0123/clips/0/outputs/clip.mp4", "nodes/gpu-1". */
  readonly name: string;
}

/** The only error that crosses a package boundary; the code leads the message, so logs show it. */
export class FarmError extends Error {
  override readonly name = "FarmError";
  readonly code: FarmErrorCode;
  readonly detail: string;
  /** Every wrong field at once; empty unless the code is "invalid-argument". */
  readonly violations: readonly Violation[];
  /** Only with the code "exhausted". */
  readonly bound: Bound | null;
  /** Only with the codes "not-found" and "wrong-state", where one thing of the farm is meant; else null. */
  readonly thing: Thing | null;
  /** Only with the codes "blob-missing" and "blob-corrupt", where one blob is meant; else null. */
  readonly blobKey: string | null;

  constructor(
    code: FarmErrorCode,
    detail: string,
    options: ErrorOptions & {
      readonly violations?: readonly Violation[];
      readonly bound?: Bound;
      readonly thing?: Thing;
      readonly blobKey?: string;
    } = {},
  ) {
    super(`[${code}] ${detail}`, options);
    this.code = code;
    this.detail = detail;
    this.violations = options.violations ?? [];
    this.bound = options.bound ?? null;
    this.thing = options.thing ?? null;
    this.blobKey = options.blobKey ?? null;
  }

  get retry(): Retry {
    return RETRY_BY_CODE[this.code];
  }
}

/** Whether a string received from elsewhere is one of our codes. */
export function isFarmErrorCode(code: string): code is FarmErrorCode {
  return Object.hasOwn(RETRY_BY_CODE, code);
}

/** Any thrown value as a FarmError; what is not one yet gets the code given. */
export function asFarmError(error: unknown, code: FarmErrorCode = "runtime-failed"): FarmError {
  if (error instanceof FarmError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new FarmError(code, message, { cause: error });
}

/** Refuses with every violation at once; does nothing when there are none. */
export function refuseViolations(violations: readonly Violation[]): void {
  if (violations.length > 0) throw refusal(violations);
}

/**
 * The value that `read` gives; what it refuses joins the other violations, and `instead` stands for it
 * until they are refused all at once.
 *
 * @throws what `read` throws beside violations
 */
export function gathered<T>(violations: Violation[], read: () => T, instead: T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FarmError) || error.violations.length === 0) throw error;
    violations.push(...error.violations);
    return instead;
  }
}

/** The error that names every violation. */
export function refusal(violations: readonly Violation[]): FarmError {
  const lines = violations.map((v) => `${v.field}: ${v.description}`);
  return new FarmError("invalid-argument", lines.join("; "), { violations });
}
