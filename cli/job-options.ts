/** @file When and in what order a job runs, from the command line. */
import type { Command } from "commander";
import type { Violation } from "../shared/core/errors.js";
import { ID_PATTERN } from "../shared/core/ids.js";
import {
  DEPENDENCIES_MAX,
  JOB_OPTIONS_DEFAULT,
  type JobOptions,
  PRIORITY_MAX,
} from "../shared/farm/job.js";
import { type Labels, labelViolations, readCondition } from "../shared/farm/labels.js";
import type { BranchPoint } from "../shared/farm/work.js";

export interface JobOptionFlags {
  readonly owner?: string;
  readonly priority?: string;
  readonly startAfter?: string;
  readonly deadline?: string;
  readonly dependsOn?: string;
  readonly fromStep?: string;
  readonly preview?: boolean;
  readonly label?: readonly string[];
}

const OWNER_PATTERN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** "+90s", "+10m", "+2h". */
const DELAY_PATTERN = /^\+(\d{1,6})([smh])$/;
const BRANCH_PATTERN = /^([a-z0-9]{26})\/([1-9]\d{0,4})\/([1-9]\d{0,4})$/;
const EXAMPLE_BRANCH = "0123456789abcdefghjkmnpqrs/1/10";
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

export function addJobOptions(command: Command): Command {
  return command
    .option(
      "--owner <name>",
      `whose share of the farm (default: the key's, or ${JOB_OPTIONS_DEFAULT.owner})`,
    )
    .option("--priority <n>", "0..100, higher goes first (default: 50)")
    .option("--start-after <time>", "not before: 2030-01-31T18:00Z, or from now +90s, +10m, +2h")
    .option("--deadline <time>", "stop it unless it has ended by then: +30m, 2030-01-31T18:00Z")
    .option("--label <name=value>", "what you know it by, once or several times", collected)
    .option("--depends-on <jobs>", "ids of jobs that have to succeed first: a,b")
    .option("--preview", "show what the clips look like on their way, on a terminal with colours")
    .option("--from-step <place>", "share the first steps of an earlier clip: JOB/CLIP/STEP");
}

/**
 * @param nowMs milliseconds since 1970
 * @param violations gets every mistake
 */
export function readJobOptions(
  flags: JobOptionFlags,
  nowMs: number,
  violations: Violation[],
): JobOptions {
  const refuse = (field: string, description: string) => violations.push({ field, description });
  // The farm knows who has sent a job without a name: by the key, or as its only user.
  const { owner = "" } = flags;
  if (flags.owner !== undefined && !OWNER_PATTERN.test(owner)) {
    refuse("--owner", `'${owner.slice(0, 70)}' is not up to 63 of [a-z0-9-]`);
  }
  const priority = Number(flags.priority ?? JOB_OPTIONS_DEFAULT.priority);
  if (!Number.isInteger(priority) || priority < 0 || priority > PRIORITY_MAX) {
    refuse("--priority", `'${flags.priority}' is no whole number from 0 to ${PRIORITY_MAX}`);
  }
  const readTime = (flag: string, text: string | undefined) =>
    text === undefined ? null : readTimeFlag(flag, text, nowMs, violations);
  const startAfterMs = readTime("--start-after", flags.startAfter);
  const deadlineMs = readTime("--deadline", flags.deadline);
  const dependsOn = flags.dependsOn === undefined ? [] : flags.dependsOn.split(",");
  for (const id of dependsOn.filter((text) => !ID_PATTERN.test(text))) {
    refuse("--depends-on", `'${id.slice(0, 60)}' is no job id, which has 26 of [a-z0-9]`);
  }
  if (dependsOn.length > DEPENDENCIES_MAX) {
    refuse("--depends-on", `names ${dependsOn.length} jobs; at most ${DEPENDENCIES_MAX}`);
  }
  const branch = flags.fromStep === undefined ? null : readBranch(flags.fromStep);
  if (branch === undefined) {
    refuse("--from-step", `'${flags.fromStep}' is not JOB/CLIP/STEP, such as ${EXAMPLE_BRANCH}`);
  }
  const labels = readLabels(flags.label ?? [], violations);
  const preview = flags.preview ?? false;
  const times = { startAfterMs, deadlineMs };
  return { owner, priority, ...times, dependsOn, branch: branch ?? null, preview, labels };
}

/**
 * A time, or one so long from now.
 *
 * @param violations gets what is no time
 * @returns milliseconds since 1970; null for what is no time
 */
export function readTimeFlag(
  flag: string,
  text: string,
  nowMs: number,
  violations: Violation[],
): number | null {
  const [, count, unit] = DELAY_PATTERN.exec(text) ?? [];
  const ms = count === undefined ? Date.parse(text) : nowMs + Number(count) * UNIT_MS[unit!]!;
  if (!Number.isNaN(ms)) return ms;
  const description = `'${text.slice(0, 60)}' is no time such as 2030-01-31T18:00Z or +10m`;
  violations.push({ field: flag, description });
  return null;
}

/** A flag that may be given several times. */
function collected(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value];
}

/** @param texts "name=value"; a setting gives them with commas between */
function readLabels(texts: readonly string[], violations: Violation[]): Labels {
  const pairs: [name: string, value: string][] = [];
  for (const text of [texts].flat().flatMap((each) => each.split(","))) {
    const { name, value } = readCondition(text);
    if (value === null) {
      const description = `'${text.slice(0, 70)}' is not NAME=VALUE, such as shot=12a`;
      violations.push({ field: "--label", description });
    } else pairs.push([name, value]);
  }
  const labels = Object.fromEntries(pairs);
  const wrong = labelViolations(labels, "--label");
  violations.push(...wrong.map(({ description }) => ({ field: "--label", description })));
  return labels;
}

/** Clips and steps count from 1. */
function readBranch(text: string): BranchPoint | undefined {
  const [, jobId, clip, step] = BRANCH_PATTERN.exec(text) ?? [];
  if (jobId === undefined) return undefined;
  return { jobId, clipIndex: Number(clip) - 1, step: Number(step) };
}
