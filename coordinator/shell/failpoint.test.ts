import { describe, expect, test } from "vitest";
import type { FarmEvent } from "../plan/events.js";
import { readFailpoint } from "./failpoint.js";

const due: FarmEvent = { kind: "job-due", jobId: "j", atMs: 0 };
const paused: FarmEvent = { kind: "job-paused", jobId: "j", atMs: 0 };

function world(env: Readonly<Record<string, string>>) {
  const exits: number[] = [];
  const refusals: string[] = [];
  const failpoint = readFailpoint({
    env,
    exit: (code) => exits.push(code),
    onRefused: (reason) => refusals.push(reason),
  });
  return { failpoint, exits, refusals };
}

describe("RENDERFARM_FAILPOINT", () => {
  test("is off unless set", () => {
    expect(world({ NODE_ENV: "test" })).toMatchObject({ failpoint: null, refusals: [] });
  });

  test("is refused outside of tests, with a word why", () => {
    const { failpoint, refusals } = world({ RENDERFARM_FAILPOINT: "job-due:before:1" });
    expect(failpoint).toBeNull();
    expect(refusals).toEqual([
      "RENDERFARM_FAILPOINT=job-due:before:1 is for tests and does nothing without NODE_ENV=test",
    ]);
  });

  test.each(["job-due", "job-due:later:1", "job-due:after:0", "job-due:after:1 "])(
    "%j is no failpoint",
    (text) => {
      const start = () => world({ NODE_ENV: "test", RENDERFARM_FAILPOINT: text });
      expect(start).toThrow(`RENDERFARM_FAILPOINT="${text}" is not <event kind>:<before|after>`);
    },
  );

  test("exits at the nth event of its kind, at its side of the journal, and not before", () => {
    const { failpoint, exits } = world({
      NODE_ENV: "test",
      RENDERFARM_FAILPOINT: "job-due:after:2",
    });
    failpoint?.("before", [due, due, due]);
    failpoint?.("after", [due, paused]);
    failpoint?.("after", [paused]);
    expect(exits).toEqual([]);
    failpoint?.("after", [paused, due]);
    expect(exits).toEqual([137]);
  });
});
