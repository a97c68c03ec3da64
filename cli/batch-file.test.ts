import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Violation } from "../shared/core/errors.js";
import { expandFolders, readBatchFile } from "./batch-file.js";

function folderOfTest(): string {
  const folder = mkdtempSync(join(tmpdir(), "batch-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function read(text: string) {
  const folder = folderOfTest();
  const path = join(folder, "batch.jsonl");
  writeFileSync(path, text);
  const violations: Violation[] = [];
  const batch = await readBatchFile(path, violations);
  return {
    batch,
    folder,
    problems: violations.map(({ field, description }) => `${field}: ${description}`),
  };
}

describe("a batch", () => {
  test("has a clip a line and every picture once, in the order of the lines", async () => {
    const { batch, folder, problems } = await read(`
      {"image": "b.png", "seed": 7, "fps": 12}

      {"image": "a.png", "guidance": "triangle"}
      {"image": "./b.png", "seed": "18446744073709551615", "guidance": [1, 2]}
    `);
    expect(problems).toEqual([]);
    expect(batch!.picturePaths).toEqual([join(folder, "b.png"), join(folder, "a.png")]);
    expect(batch!.clips).toEqual([
      { imageIndex: 0, seed: 7, fps: 12 },
      { imageIndex: 1, guidance: "triangle" },
      { imageIndex: 0, seed: "18446744073709551615", guidance: { kind: "frames", scales: [1, 2] } },
    ]);
  });

  test("names a clip's field by the line of its file", async () => {
    const { batch } = await read(`\n{"image": "a.png"}\n\n{"image": "a.png"}`);
    expect(batch!.spell("clips[1].fps")).toBe("batch.jsonl:4 fps");
    expect(batch!.spell("fps")).toBe(null);
  });

  test("is refused with every bad line at once", async () => {
    const { problems } = await read(
      [
        '{"image": "a.png"}',
        "a.png",
        '{"seed": 1}',
        '{"image": "a.png", "sede": 1, "fps": null}',
        '["a.png"]',
      ].join("\n"),
    );
    const keys =
      "there are image, seed, fps, motion_bucket_id, noise_aug_strength, min_guidance_scale, max_guidance_scale, guidance";
    expect(problems).toEqual([
      expect.stringMatching(/^batch.jsonl:2: is no JSON object: .*; a line is such as /),
      "batch.jsonl:3 image: is missing; name a png, jpeg or webp file",
      `batch.jsonl:4 sede: is no key of a clip, did you mean 'seed'?; ${keys}`,
      "batch.jsonl:4 fps: null is neither a number nor a text",
      'batch.jsonl:5: is no JSON object; a line is such as {"image": "a.png", "seed": 7}',
    ]);
  });

  test("names a seed that JSON has rounded, and a key that is there twice", async () => {
    const { problems } = await read(
      '{"image": "a.png", "seed": 9007199254740993}\n{"image": "a.png", "seed": 1, "seed": 2}\n',
    );
    expect(problems).toEqual([
      expect.stringMatching(/^batch.jsonl:1 seed: .* has lost digits, .*; write it as a text/),
      expect.stringMatching(/^batch.jsonl:2: is no JSON object: key "seed" twice in one object/),
    ]);
  });

  test("tells which line named a picture first", async () => {
    const { batch } = await read('\n{"image": "a.png"}\n{"image": "b.png"}\n{"image": "a.png"}\n');
    const [a, b] = batch!.picturePaths;
    expect([batch!.placeOf(a!), batch!.placeOf(b!)]).toEqual([
      "batch.jsonl:2 image",
      "batch.jsonl:3 image",
    ]);
  });

  test("of 10,000 clips is refused by its limit, not read", async () => {
    const { batch, problems } = await read('{"image": "a.png"}\n'.repeat(10_000));
    expect(batch).toBe(null);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/lists 10000 clips, legal are up to 1000 a job; split it$/);
  });

  test.each([
    ["empty", "\n\n", /holds no clip/],
    ["larger than any batch", "x".repeat(17 * 1024 * 1024), /has 17825792 bytes/],
  ])("that is %s is refused", async (_case, text, message) => {
    const { batch, problems } = await read(text);
    expect(batch).toBe(null);
    expect(problems.join()).toMatch(message);
  });

  test("that is not there is refused", async () => {
    const violations: Violation[] = [];
    expect(await readBatchFile(join(folderOfTest(), "none"), violations)).toBe(null);
    expect(violations[0]!.description).toMatch(/none' does not exist/);
  });
});

describe("folders", () => {
  test("are the pictures in them, by name, in the place of the folder", async () => {
    const folder = folderOfTest();
    mkdirSync(join(folder, "in"));
    for (const name of ["b.PNG", "a.jpg", "notes.txt"]) writeFileSync(join(folder, "in", name), "");
    const violations: Violation[] = [];
    const found = await expandFolders(["first.png", join(folder, "in"), "last.png"], violations);
    const inside = ["a.jpg", "b.PNG"].map((name) => join(folder, "in", name));
    expect(found).toEqual(["first.png", ...inside, "last.png"]);
    expect(violations).toEqual([]);
  });

  test("without a picture are refused", async () => {
    const violations: Violation[] = [];
    const folder = folderOfTest();
    await expandFolders([folder], violations);
    expect(violations).toEqual([
      { field: folder, description: "is a folder without .png, .jpg, .jpeg, .webp files" },
    ]);
  });
});
