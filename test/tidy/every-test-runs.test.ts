/** @file A test that `npm test` does not start would stay green whatever it says. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("every test file is in a folder that npm test names", () => {
  const script = readFileSync(`${root}scripts/test.mjs`, "utf8");
  const folders = [...script.matchAll(/^ {2}tests\("[\w-]+", (\[.+\])\),$/gm)].flatMap(
    ([, list]) => JSON.parse(list!) as string[],
  );
  expect(folders).toContain("test/tidy");
  const args = [
    "ls-files",
    "--cached",
    "--others",
    "--exclude-standard",
    "*.test.ts",
    "*.test.tsx",
  ];
  const files = execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim().split("\n");
  const left = files.filter((file) => !folders.some((folder) => file.startsWith(`${folder}/`)));
  expect(left).toEqual([]);
});
