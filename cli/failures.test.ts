/** What a user reads when a command ends badly, and what a script sees. */
import { expect, test } from "vitest";
import { refusal } from "../shared/core/errors.js";
import { exitCodeOf, explain, OutputFailure, withFilesElsewhere } from "./failures.js";

test("files that have no place here are still the farm's: the way to them is said", () => {
  const full = new OutputFailure("ENOSPC: no space left on device, write", {});
  const said = withFilesElsewhere(full, "0123456789abcdefghjkmnpqrs");
  expect(explain(said)).toBe(
    "error: 1 problem\n  --out: cannot be written: ENOSPC: no space left on device, write; the job is" +
      " done; renderfarm download 0123456789abcdefghjkmnpqrs --out ELSEWHERE fetches its files",
  );
  expect(exitCodeOf(said)).toBe(2);
});

test("any other error stays as it is", () => {
  const error = refusal([{ field: "--fps", description: "'0' is too few" }]);
  expect(withFilesElsewhere(error, "x")).toBe(error);
});

test("with --verbose an error comes with what it came from", () => {
  const cause = new Error("ENOSPC: no space left on device");
  const full = new OutputFailure(cause.message, { cause });
  expect(explain(full)).not.toContain("caused by");
  expect(explain(full, true)).toBe(`${explain(full)}\ncaused by: ${cause.stack}`);
});

test("a name cannot move the terminal's cursor", () => {
  const error = refusal([{ field: "a\u001b[2J\nb.png", description: "is empty" }]);
  expect(explain(error)).toBe("error: 1 problem\n  a\\u001b[2J\\nb.png: is empty");
});
