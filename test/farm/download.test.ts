/** @file `renderfarm download`: files of finished jobs and clips, each whole or not there. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { runCli } from "./cli-process.js";
import { startFarm, type TestFarm } from "./farm-harness.js";

const FAST = { numInferenceSteps: 2, numVideosPerPrompt: 2 } as const;

let farm: TestFarm;
let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "farm-download-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  farm = await startFarm(1);
});

const download = (jobId: string, ...args: string[]) =>
  runCli(["download", jobId, "--address", farm.client.address, ...args]);
const place = (...names: string[]) => join(folder, ...names);

test("a job's files go to a folder, one of them to a file or to stdout, and none twice", async () => {
  const { jobId } = await farm.render({ ...FAST, formats: ["gif", "png"] });
  const whole = await download(jobId, "--out", place("clips"));
  expect(whole).toMatchObject({
    exitCode: 0,
    stderr: expect.stringMatching(/^2 clips, .* KiB\n$/),
  });
  const paths = whole.stdout.trim().split("\n");
  expect(paths).toHaveLength(2 * (1 + 4));
  expect(readdirSync(place("clips")).sort()).toEqual([
    "clip-001",
    "clip-001.gif",
    "clip-002",
    "clip-002.gif",
  ]);

  // One file is another, one is gone; the others are not written again.
  const kept = place("clips", "clip-001", "frame-001.png");
  const { ino } = statSync(kept);
  const second = readFileSync(place("clips", "clip-002.gif"));
  writeFileSync(place("clips", "clip-001.gif"), "half of it");
  rmSync(place("clips", "clip-002.gif"));
  const again = await download(jobId, "--out", place("clips"), "--verbose");
  expect([again.exitCode, again.stdout]).toEqual([0, whole.stdout]);
  expect(again.stderr.match(/^DownloadOutput: OK/gm)).toHaveLength(2);
  expect(statSync(kept).ino).toBe(ino);
  expect(readFileSync(place("clips", "clip-002.gif"))).toEqual(second);

  const one = await download(jobId, "--clip", "2", "--format", "gif", "--out", place("b.gif"));
  expect(one.stdout).toBe(`${place("b.gif")}\n`);
  expect(readFileSync(place("b.gif"))).toEqual(second);
  const piped = await download(jobId, "--clip", "2", "--format", "gif", "--out", "-", "--quiet");
  expect(piped).toMatchObject({ exitCode: 0, stderr: "" });
  expect(piped.stdout).toBe(second.toString("utf8"));
});

test("what cannot be fetched is refused, and says what can", async () => {
  const { jobId } = await farm.render({ ...FAST, formats: ["gif"] });
  for (const [args, exitCode, says] of [
    [[], 2, "--out: is missing"],
    [["--out", place("a.gif")], 2, "is one file for 2 clips; name a folder instead"],
    [["--out", place("a"), "--clip", "3"], 2, "--clip: the job has no clip 3; it has 2"],
    [["--out", place("a"), "--format", "mp4"], 2, "'mp4' was not asked for; the job has gif"],
    [["--out", "/proc/clips"], 2, "cannot be written to"],
  ] as const) {
    const refused = await download(jobId, ...args);
    expect(refused.stderr).toContain(says);
    expect([refused.exitCode, refused.stdout]).toEqual([exitCode, ""]);
  }
  expect((await download("0".repeat(26), "--out", place("a"))).exitCode).toBe(2);

  const release = farm.holdRuntimes(["node-1"]);
  const going = await farm.submit(FAST);
  const early = await download(going.jobId, "--out", place("a"));
  expect(early.exitCode).toBe(4);
  expect(early.stderr).toContain(`renderfarm watch ${going.jobId} --out PATH waits for it`);
  await farm.client.cancelJob(going.jobId);
  release();
  const cancelled = await download(going.jobId, "--out", place("a"));
  expect(cancelled).toMatchObject({
    exitCode: 5,
    stderr: expect.stringContaining("was cancelled"),
  });
  expect(readdirSync(folder)).toEqual([]);
});

test("what is fetched can be played", async () => {
  const { jobId } = await farm.render({ numInferenceSteps: 2, formats: ["mp4"] });
  const { exitCode } = await download(jobId, "--out", place("clip.mp4"));
  expect(exitCode).toBe(0);
  expect(JSON.parse(readFileSync(place("clip.json"), "utf8"))).toMatchObject({ file: "clip.mp4" });
  expect(execFileSync("head", ["-c", "8", place("clip.mp4")]).toString()).toContain("ftyp");
});
