/** Pages of a list of jobs: what is made, deleted or asked otherwise between two of them. */
import { expect, test } from "vitest";
import { JobState } from "../../proto/gen/renderfarm/v1/job.js";
import { decodePageToken, encodePageToken, startOfPage } from "./page-token.js";

const ALL = { states: [], labelSelector: "" };
/** The newest first. */
const JOBS = [9, 7, 5, 3].map((createdAtMs) => ({ jobId: `job-${createdAtMs}`, createdAtMs }));

test("a token says where its page ended, and not in words", () => {
  const token = encodePageToken(JOBS[1]!, ALL);
  expect(decodePageToken(token, ALL)).toEqual(JOBS[1]);
  expect(token).toMatch(/^[\w-]+$/);
  expect(token).not.toContain("job-7");
});

test.each<[string, typeof JOBS, number]>([
  ["nothing has changed", JOBS, 2],
  ["a newer job was made", [{ jobId: "job-11", createdAtMs: 11 }, ...JOBS], 3],
  ["the last job of the page was deleted", JOBS.filter((_, i) => i !== 1), 1],
  ["everything older was deleted", JOBS.slice(0, 1), 1],
])("the next page begins after it: %s", (_name, jobs, start) => {
  expect(startOfPage(JOBS[1]!, jobs)).toBe(start);
});

test.each(["", "job-7", "bm90IGpzb24", "e30", "WzEsMl0", "%"])("'%s' is no token", (token) => {
  expect(() => decodePageToken(token, ALL)).toThrow("page_token: is not from an earlier answer");
});

test.each([
  { states: [JobState.QUEUED], labelSelector: "" },
  { states: [], labelSelector: "shot=1" },
])("nor is that of another list: %o", (filter) => {
  const token = encodePageToken(JOBS[0]!, filter);
  expect(decodePageToken(token, filter)).toEqual(JOBS[0]);
  expect(() => decodePageToken(token, ALL)).toThrow("is from a list with other states or another");
});
