import { expect, test } from "vitest";
import type { Violation } from "../shared/core/errors.js";
import { JOB_OPTIONS_DEFAULT } from "../shared/farm/job.js";
import { type JobOptionFlags, readJobOptions } from "./job-options.js";

const read = (flags: JobOptionFlags) => {
  const violations: Violation[] = [];
  const options = readJobOptions(flags, 1_000, violations);
  return { options, fields: violations.map((v) => v.field) };
};

test("no flag: the defaults; whose job it is, the farm knows", () => {
  expect(read({})).toEqual({ options: { ...JOB_OPTIONS_DEFAULT, owner: "" }, fields: [] });
});

test.each<[string, JobOptionFlags, object]>([
  ["an owner", { owner: "team-7" }, { owner: "team-7" }],
  ["the lowest priority", { priority: "0" }, { priority: 0 }],
  ["a time", { startAfter: "1970-01-01T00:01:00Z" }, { startAfterMs: 60_000 }],
  ["a delay", { startAfter: "+10m" }, { startAfterMs: 601_000 }],
  ["a deadline", { deadline: "+90s" }, { deadlineMs: 91_000 }],
  [
    "jobs",
    { dependsOn: `${"a".repeat(26)},${"b".repeat(26)}` },
    { dependsOn: ["a".repeat(26), "b".repeat(26)] },
  ],
  [
    "a branch",
    { fromStep: `${"a".repeat(26)}/1/10` },
    { branch: { jobId: "a".repeat(26), clipIndex: 0, step: 10 } },
  ],
  ["labels", { label: ["shot=12a", "team="] }, { labels: { shot: "12a", team: "" } }],
])("%s", (_name, flags, expected) => {
  expect(read(flags)).toMatchObject({ options: expected, fields: [] });
});

test.each<[string, JobOptionFlags, string[]]>([
  ["an owner with a slash", { owner: "a/b" }, ["--owner"]],
  ["a priority beyond 100", { priority: "101" }, ["--priority"]],
  ["a priority that is no number", { priority: "high" }, ["--priority"]],
  ["a time that is none", { startAfter: "tomorrow" }, ["--start-after"]],
  ["a deadline that is none", { deadline: "soon" }, ["--deadline"]],
  ["a branch without a step", { fromStep: `${"a".repeat(26)}/1` }, ["--from-step"]],
  ["a branch at step 0", { fromStep: `${"a".repeat(26)}/1/0` }, ["--from-step"]],
  ["a label without a value", { label: ["shot"] }, ["--label"]],
  ["two labels that are none", { label: ["a b=1", "shot=1 2"] }, ["--label", "--label"]],
  ["a job id that is none", { dependsOn: "x" }, ["--depends-on"]],
  [
    "all at once",
    { owner: "", priority: "-1", dependsOn: "x" },
    ["--owner", "--priority", "--depends-on"],
  ],
])("refused: %s", (_name, flags, fields) => {
  expect(read(flags).fields).toEqual(fields);
});
