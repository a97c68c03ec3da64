import { expect, test } from "vitest";
import { didYouMean } from "./closest-name.js";

const known = ["fit", "fps", "num_frames", "motion_bucket_id", "seed"];

test.each([
  ["one letter missing", "num_frame", "num_frames"],
  ["letters swapped", "fsp", "fps"],
  ["another case", "FPS", "fps"],
])("a name is near: %s", (_case, written, expected) => {
  expect(didYouMean(written, known)).toBe(`, did you mean '${expected}'?`);
});

test.each([
  ["nothing alike", "priority"],
  ["too short to tell", "x"],
])("no name is near: %s", (_case, written) => {
  expect(didYouMean(written, known)).toBe("");
});
