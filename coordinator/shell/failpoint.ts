/**
 * @file A place at which a test lets the coordinator die, as kill -9 would.
 *
 * RENDERFARM_FAILPOINT="<event kind>:<before|after>:<n>": the process exits with code 137 right
 * before, or right after, the nth event of that kind since its start became durable; "after" is
 * still before any of its effects. Works with NODE_ENV=test only.
 */
import { FarmError } from "../../shared/core/errors.js";
import type { FarmEvent } from "../plan/events.js";

/** Hears of events on their way into the journal, in order. */
export type Failpoint = (when: "before" | "after", events: readonly FarmEvent[]) => void;

export interface FailpointParts {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Hears why a failpoint is not obeyed. */
  readonly onRefused: (reason: string) => void;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
}

/** As a shell says it of a process that was killed by signal 9. */
const EXIT_CODE = 137;
const PATTERN = /^([a-z-]+):(before|after):([1-9]\d*)$/;

/**
 * @returns null unless one is set
 * @throws FarmError "invalid-argument" when it is set and says nothing that is known
 */
export function readFailpoint({ env, onRefused, exit }: FailpointParts): Failpoint | null {
  const text = env["RENDERFARM_FAILPOINT"];
  if (!text) return null;
  if (env["NODE_ENV"] !== "test") {
    onRefused(`RENDERFARM_FAILPOINT=${text} is for tests and does nothing without NODE_ENV=test`);
    return null;
  }
  const [, kind, when, count] = PATTERN.exec(text) ?? [];
  if (!kind) {
    const form = "<event kind>:<before|after>:<n>, as in task-granted:before:1";
    throw new FarmError("invalid-argument", `RENDERFARM_FAILPOINT="${text}" is not ${form}`);
  }
  let left = Number(count);
  return (now, events) => {
    if (now !== when) return;
    left -= events.filter((event) => event.kind === kind).length;
    if (left <= 0) exit(EXIT_CODE);
  };
}
