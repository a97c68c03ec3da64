/** @file How long a command waits for a job: until Ctrl-C, or until a limit of its own. */
import type { Command } from "commander";
import type { Violation } from "../shared/core/errors.js";

export interface WaitFlags {
  readonly timeout?: string;
}

/** "90s", "10m", "2h". */
const TIME_PATTERN = /^(\d{1,6})([smh])$/;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };
/** What a timer takes: 24 days. */
const WAIT_MS_MAX = 2_147_483_647;

export function addWaitLimit(command: Command): Command {
  return command.option("--timeout <time>", "wait no longer than 90s, 10m, 2h; the job goes on");
}

/**
 * A signal that aborts when the command has waited long enough.
 *
 * @param violations gets a time that is none
 */
export function waitLimit({ timeout }: WaitFlags, violations: Violation[]): AbortSignal {
  if (timeout === undefined) return new AbortController().signal;
  const [, count, unit] = TIME_PATTERN.exec(timeout) ?? [];
  const ms = count === undefined ? Number.NaN : Number(count) * UNIT_MS[unit!]!;
  if (ms >= 1 && ms <= WAIT_MS_MAX) return AbortSignal.timeout(ms);
  const description = `'${timeout.slice(0, 40)}' is no time such as 90s, 10m or 2h, up to 596h`;
  violations.push({ field: "--timeout", description });
  return new AbortController().signal;
}
