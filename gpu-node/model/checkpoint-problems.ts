/** @file Everything that is wrong with a checkpoint, in one error. */
import { FarmError, type Violation } from "../../shared/core/errors.js";

/** Problems named in one error; a wrong folder could have thousands. */
const PROBLEMS_SHOWN_MAX = 40;

/**
 * Refuses a checkpoint with every problem at once; does nothing when there are none.
 *
 * @param problems field: the file, and the field or tensor in it ("unet/config.json: in_channels")
 * @throws FarmError "checkpoint-invalid"
 */
export function refuseCheckpoint(problems: readonly Violation[]): void {
  if (problems.length === 0) return;
  const violations = problems.slice(0, PROBLEMS_SHOWN_MAX);
  const lines = violations.map((v) => `${v.field}: ${v.description}`);
  const left = problems.length - violations.length;
  if (left > 0) lines.push(`and ${left} more`);
  throw new FarmError("checkpoint-invalid", lines.join("; "), { violations });
}

/**
 * Runs a check and moves what it finds wrong to the list, so that the next check still runs.
 *
 * @returns the check's result; null when it failed with "checkpoint-invalid"
 * @throws whatever else the check throws
 */
export function collectProblems<T>(problems: Violation[], check: () => T): T | null {
  try {
    return check();
  } catch (error) {
    keepProblems(problems, error);
    return null;
  }
}

/** The same for work that takes time. */
export async function collectProblemsAsync<T>(
  problems: Violation[],
  check: () => Promise<T>,
): Promise<T | null> {
  try {
    return await check();
  } catch (error) {
    keepProblems(problems, error);
    return null;
  }
}

function keepProblems(problems: Violation[], error: unknown): void {
  const isProblem = error instanceof FarmError && error.code === "checkpoint-invalid";
  if (!isProblem || error.violations.length === 0) throw error;
  problems.push(...error.violations);
}
