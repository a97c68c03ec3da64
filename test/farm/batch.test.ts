/** @file Clips of one job that differ from each other, sent from a file and from a folder. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { goldenPath } from "../golden/read-golden.js";
import { runCli } from "./cli-process.js";
import { PICTURE, startFarm } from "./farm-harness.js";

const OTHER_PICTURE = goldenPath("two-level/runs/plain/input0.png");
const FAST = [
  ...["--height", "16", "--width", "16", "--num-frames", "4", "--num-inference-steps", "2"],
  ...["--format", "gif"],
];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "farm-batch-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
});

test("each line of a batch gives the clip that it gives alone, in the order of the lines", async () => {
  const farm = await startFarm(2);
  const submit = (...args: string[]) =>
    runCli(["submit", ...args, ...FAST, "--address", farm.client.address]);
  const batch = join(folder, "batch.jsonl");
  const lines = [
    { image: OTHER_PICTURE, seed: 5, fps: 12 },
    { image: PICTURE, seed: 7, guidance: "triangle", max_guidance_scale: 4 },
    { image: PICTURE, seed: 7, motion_bucket_id: 40, guidance: [1, 1, 1, 1] },
  ];
  writeFileSync(batch, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const together = join(folder, "together");
  expect(await submit("--batch", batch, "--out", together)).toMatchObject({ exitCode: 0 });
  const names = ["clip-001.gif", "clip-002.gif", "clip-003.gif"];
  expect(readdirSync(together).sort()).toEqual(names);

  const alone: [picture: string, ...flags: string[]][] = [
    [OTHER_PICTURE, "--seed", "5", "--fps", "12"],
    [PICTURE, "--seed", "7", "--guidance", "triangle", "--max-guidance-scale", "4"],
    [PICTURE, "--seed", "7", "--motion-bucket-id", "40", "--guidance", "1,1,1,1"],
  ];
  for (const [i, args] of alone.entries()) {
    const out = join(folder, `${i}.gif`);
    expect(await submit(...args, "--out", out)).toMatchObject({ exitCode: 0 });
    expect(readFileSync(out).equals(readFileSync(join(together, names[i]!)))).toBe(true);
  }
});

test("a folder's pictures become clips in the order of their names; a bad line stops all before any work", async () => {
  const farm = await startFarm(1);
  const submit = (...args: string[]) =>
    runCli(["submit", ...args, ...FAST, "--address", farm.client.address]);
  const pictures = join(folder, "in");
  mkdirSync(pictures);
  copyFileSync(PICTURE, join(pictures, "b.png"));
  copyFileSync(OTHER_PICTURE, join(pictures, "a.png"));
  const out = join(folder, "out");
  const sent = await submit(pictures, "--out", out, "--seed", "1,2", "--json");
  expect(sent).toMatchObject({ exitCode: 0 });
  const { clips } = JSON.parse(sent.stdout) as { clips: { image: string }[] };
  expect(clips.map((clip) => clip.image)).toEqual(
    ["a", "b"].map((n) => join(pictures, `${n}.png`)),
  );

  const batch = join(folder, "batch.jsonl");
  writeFileSync(batch, `{"image": "in/a.png", "fps": 999}\n{"image": "in/c.png"}\nhello\n`);
  const refused = await submit("--batch", batch, "--out", join(folder, "none"));
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain("batch.jsonl:1 fps: '999' is no whole number from 1 to 240");
  expect(refused.stderr).toMatch(/batch.jsonl:2 image: '.*c.png' does not exist/);
  expect(refused.stderr).toContain("batch.jsonl:3: is no JSON object");
  expect((await farm.client.listJobs()).jobs).toHaveLength(1);
});
