/**
 * @file What the largest pictures cost a process that decodes them, and that larger ones cost nothing:
 * they are refused by their header. Each is decoded by a process of its own.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";

const MIB = 1_048_576;
/** 4096 x 4096 pixels, as many as are taken. */
const SIDE = 4_096;
/** Of decoding one: four times its pixels in four channels; about half of that is what it takes. */
const COST_MIB_MAX = 256;
/** Of reading a header, with what else moves in a process. */
const REFUSAL_MIB_MAX = 32;

const decoder = new URL("../../dist/gpu-node/stages/picture.js", import.meta.url);
const PROGRAM = `
import { readFileSync } from "node:fs";
import { decodePicture } from "${decoder.href}";
const file = readFileSync(process.argv[1]);
const beforeKiB = process.resourceUsage().maxRSS;
const outcome = await decodePicture(file).then(({ width, height }) => width + " x " + height, (e) => e.code);
const costKiB = process.resourceUsage().maxRSS - beforeKiB;
console.log(JSON.stringify({ outcome, costMib: costKiB / 1024 }));
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "picture-memory-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function decode(file: Uint8Array): { outcome: string; costMib: number } {
  const path = join(folder, "picture");
  writeFileSync(path, file);
  const args = ["--input-type=module", "--eval", PROGRAM, "--", path];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as never;
}

const flat = (side: number) =>
  sharp({
    create: { width: side, height: side, channels: 4, background: "#8f3a" },
    limitInputPixels: false,
  });

const largest = [
  ["a png that comes in seven passes", () => flat(SIDE).png({ progressive: true }).toBuffer()],
  [
    "a jpeg that comes in passes and is turned",
    () => flat(SIDE).withMetadata({ orientation: 6 }).jpeg({ progressive: true }).toBuffer(),
  ],
  ["a webp", () => flat(SIDE).webp({ lossless: true, effort: 0 }).toBuffer()],
] as const;

test.each(largest)("%s of 4096 x 4096 pixels is decoded within a bound", async (_name, make) => {
  const { outcome, costMib } = decode(await make());
  expect(outcome).toBe(`${SIDE} x ${SIDE}`);
  expect(costMib).toBeLessThan(COST_MIB_MAX);
});

test("one of 12,000 x 12,000 pixels in a small file is refused before it is decoded", async () => {
  const bomb = await flat(12_000).png().toBuffer();
  expect(bomb.length).toBeLessThan(4 * MIB);
  const { outcome, costMib } = decode(bomb);
  expect(outcome).toBe("invalid-argument");
  expect(costMib).toBeLessThan(REFUSAL_MIB_MAX);
});
