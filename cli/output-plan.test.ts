import { describe, expect, test } from "vitest";
import type { OutputFormat } from "../shared/farm/parameters.js";
import { formatOfPath, outputPath, type PathKind, planOutputs } from "./output-plan.js";

interface Job {
  formats: OutputFormat[];
  clipCount: number;
  numFrames: number;
}

const job = (formats: OutputFormat[], clipCount = 1, numFrames = 14): Job => ({
  formats,
  clipCount,
  numFrames,
});

describe("the extension of a file chooses the format:", () => {
  const cases: [out: string, kind: PathKind, format: OutputFormat | null][] = [
    ["a/clip.mp4", "missing", "mp4"],
    ["clip.GIF", "file", "gif"],
    ["x.y.safetensors", "missing", "safetensors"],
    ["clip.avi", "missing", null],
    ["clips", "missing", null],
    ["tmp.mp4", "folder", null],
    ["tmp.mp4/", "missing", null],
    [".hidden", "missing", null],
  ];
  test.each(cases)("%s (%s) -> %s", (out, kind, format) => {
    expect(formatOfPath(out, kind)).toBe(format);
  });
});

describe("what does not fit one file is refused with a way out:", () => {
  const cases: [name: string, out: string, wanted: Job, says: string][] = [
    [
      "several clips",
      "a/x.mp4",
      job(["mp4"], 2),
      "one file for 2 clips; name a folder instead, such as 'a/x'",
    ],
    ["several formats", "x.mp4", job(["mp4", "gif"]), "one file for 2 formats (mp4, gif)"],
    ["frames", "x.png", job(["png"]), "one file for 14 frames"],
    ["frames of several clips", "x.png", job(["png"], 2, 1), "one file for 2 frames"],
    ["several clips on stdout", "-", job(["mp4"], 2), "'-' is one file for 2 clips; name a folder"],
    ["several formats on stdout", "-", job(["mp4", "gif"]), "'-' is one file for 2 formats"],
    ["frames on stdout", "-", job(["png"]), "'-' is one file for 14 frames"],
    ["an mp4 under its sidecar's name", "x.json", job(["mp4"]), "the clip's own text file"],
  ];
  test.each(cases)("%s", (_name, out, wanted, says) => {
    expect(planOutputs(out, "missing", wanted)).toContain(says);
  });

  test("a folder where a file lies", () => {
    expect(planOutputs("clips", "file", job(["mp4"]))).toContain("'clips' is a file and no folder");
  });
});

test.each([
  ["a clip", job(["mp4"])],
  ["all clips in one file", job(["safetensors"], 3)],
  ["a single frame", job(["png"], 1, 1)],
])("stdout takes one file: %s", (_name, wanted) => {
  expect(planOutputs("-", "missing", wanted)).toEqual({ kind: "stdout" });
});

describe("paths", () => {
  type Case = [
    out: string,
    kind: PathKind,
    wanted: Job,
    clip: number,
    format: OutputFormat,
    fileName: string,
    path: string,
  ];
  const cases: Case[] = [
    ["a/x.mp4", "missing", job(["mp4"]), 0, "mp4", "clip.mp4", "a/x.mp4"],
    ["a/x.mp4", "missing", job(["mp4"]), 0, "mp4", "clip.json", "a/x.json"],
    ["x.video", "missing", job(["mp4"]), 0, "mp4", "clip.json", "x.json"],
    ["x.png", "missing", job(["png"], 1, 1), 0, "png", "frame-001.png", "x.png"],
    [
      "x.safetensors",
      "missing",
      job(["safetensors"], 3),
      2,
      "safetensors",
      "clip.safetensors",
      "x.safetensors",
    ],
    ["out", "missing", job(["mp4", "gif"], 2), 1, "mp4", "clip.mp4", "out/clip-002.mp4"],
    ["out", "folder", job(["mp4", "gif"], 2), 1, "mp4", "clip.json", "out/clip-002.json"],
    ["out", "folder", job(["mp4", "gif"], 2), 0, "gif", "clip.gif", "out/clip-001.gif"],
    ["out", "folder", job(["png"], 2), 1, "png", "frame-014.png", "out/clip-002/frame-014.png"],
    [
      "out",
      "folder",
      job(["safetensors"], 2),
      1,
      "safetensors",
      "clip.safetensors",
      "out/clips.safetensors",
    ],
    [
      "tmp.Ab1",
      "folder",
      job(["safetensors"]),
      0,
      "safetensors",
      "clip.safetensors",
      "tmp.Ab1/clips.safetensors",
    ],
    ["out", "missing", job(["mp4"], 1000), 0, "mp4", "clip.mp4", "out/clip-0001.mp4"],
  ];
  test.each(cases)(
    "%s (%s) %j clip %d %s %s -> %s",
    (out, kind, wanted, clip, format, fileName, path) => {
      const plan = planOutputs(out, kind, wanted);
      if (typeof plan === "string") throw new Error(plan);
      expect(outputPath(plan, clip, { format, fileName })).toBe(path);
    },
  );
});
