import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Violation } from "../shared/core/errors.js";
import { placeOutputs } from "./output-place.js";

const CLIP = { formats: ["mp4"] as const, clipCount: 1, numFrames: 14 };

async function place(flags: { out?: string; json?: boolean }, isTTY: boolean) {
  const before = process.stdout.isTTY;
  process.stdout.isTTY = isTTY;
  onTestFinished(() => {
    process.stdout.isTTY = before;
  });
  const violations: Violation[] = [];
  return { plan: await placeOutputs(flags, CLIP, violations), violations };
}

test("a pipe may have the bytes of a file, a terminal not", async () => {
  expect(await place({ out: "-" }, false)).toEqual({ plan: { kind: "stdout" }, violations: [] });
  const { plan, violations } = await place({ out: "-" }, true);
  expect(plan).toBeNull();
  expect(violations).toEqual([
    { field: "--out", description: expect.stringContaining("bytes to a terminal") },
  ]);
});

test("stdout is not shared with the object of --json", async () => {
  const { plan, violations } = await place({ out: "-", json: true }, false);
  expect(plan).toBeNull();
  expect(violations[0]?.description).toBe("'-' and --json both want stdout; name a file");
});

test("a place that takes no files is refused before anything is made", async () => {
  // Not by its rights: root may write there as well, and cannot.
  const { plan, violations } = await place({ out: "/proc/clip.mp4" }, false);
  expect(plan).toBeNull();
  expect(violations).toEqual([
    {
      field: "--out",
      description: expect.stringMatching(/^folder '\/proc' cannot be written to \(E/),
    },
  ]);
});

test("nothing is left where files can be made", async () => {
  const folder = mkdtempSync(join(tmpdir(), "place-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { violations } = await place({ out: join(folder, "new", "clip.mp4") }, false);
  expect([violations, readdirSync(folder)]).toEqual([[], []]);
});
