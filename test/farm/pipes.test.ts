/** @file Commands in pipes: pictures and batches from stdin, a clip on stdout. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalFarm, startLocalFarm } from "../../cli/local-farm.js";
import { CHECKPOINT, PICTURE } from "./farm-harness.js";

const RENDERFARM = join(import.meta.dirname, "../../bin/renderfarm");
const FAST = "--height 16 --width 16 --num-frames 4 --num-inference-steps 2 --seed 7";
const START_MS = 60_000;

let folder: string;
let farm: LocalFarm;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "renderfarm-pipes-"));
  copyFileSync(PICTURE, join(folder, "photo.png"));
  farm = await startLocalFarm({
    ...{ checkpoint: CHECKPOINT, variant: "auto", nodeCount: 1, threads: 1, verbose: false },
    ...{ listen: "127.0.0.1:0", onNote: () => {}, signal: AbortSignal.timeout(START_MS) },
  });
});
afterAll(async () => {
  await farm.stop();
  rmSync(folder, { recursive: true });
});

/** A line typed into a shell; `renderfarm` is the checkout's own, and speaks to the farm. */
function type(line: string): Promise<{ code: number; stdout: Buffer; stderr: string }> {
  const script = `renderfarm() { "${process.execPath}" "${RENDERFARM}" "$@"; }\n${line}`;
  const environment = { ...process.env, RENDERFARM_ADDRESS: farm.address, XDG_CONFIG_HOME: folder };
  return new Promise((resolve) => {
    execFile(
      "bash",
      ["-o", "pipefail", "-c", script],
      { cwd: folder, env: environment, encoding: "buffer", maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const code = error ? Number(error.code) : 0;
        resolve({ code, stdout, stderr: stderr.toString() });
      },
    );
  });
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

test("a picture from stdin and the clip on stdout: the same bytes as with files", async () => {
  const piped = await type(`cat photo.png | renderfarm submit - --out - ${FAST}`);
  expect(piped).toMatchObject({ code: 0, stderr: expect.stringContaining("succeeded") });
  const named = await type(`renderfarm submit photo.png --out clip.mp4 ${FAST}`);
  expect(named.code).toBe(0);
  expect(sha256(piped.stdout)).toBe(sha256(readFileSync(join(folder, "clip.mp4"))));
  const ended = await type("renderfarm list -o name | tail -1");
  const watched = await type(`renderfarm watch ${ended.stdout.toString().trim()} --out -`);
  expect(sha256(watched.stdout)).toBe(sha256(piped.stdout));
});

test("a batch from stdin names pictures of the folder, and its mistakes by line", async () => {
  const lines = ['{"image": "photo.png", "seed": 7}', '{"image": "photo.png", "seed": 8}'];
  writeFileSync(join(folder, "two.jsonl"), `${lines.join("\n")}\n`);
  const size = FAST.replace("--seed 7", "");
  const made = await type(`cat two.jsonl | renderfarm submit --batch - --out clips ${size}`);
  expect(made.stderr).toContain("clip 2/2: succeeded");
  expect(readdirSync(join(folder, "clips")).filter((name) => name.endsWith(".mp4"))).toHaveLength(
    2,
  );
  const wrong = await type(`sed s/seed/sede/ two.jsonl | renderfarm submit --batch - --out clips`);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain("stdin:1 sede: is no key of a clip, did you mean 'seed'?");
});

test("what cannot be is refused before anything is sent", async () => {
  const jobs = await type("renderfarm list -o name");
  for (const [line, says] of [
    ["renderfarm submit - --out - < /dev/null", "-: is stdin, which is empty"],
    ["renderfarm submit photo.png photo.png --out -", "--out: '-' is one file for 2 clips"],
    ["renderfarm submit photo.png --out - --json", "'-' and --json both want stdout"],
    ["head -c 999 photo.png | renderfarm submit - --out c.mp4", "-: "],
    [
      "renderfarm submit --batch - --out clips < /dev/null",
      "--batch: '-' is stdin, which is empty",
    ],
  ] as const) {
    const refused = await type(line);
    expect(refused.stderr, line).toContain(says);
    expect([refused.code, refused.stdout.length], line).toEqual([2, 0]);
  }
  expect((await type("renderfarm list -o name")).stdout).toEqual(jobs.stdout);
});

test("a reader who has had enough is no bug", async () => {
  const { code, stderr } = await type("renderfarm --help | true");
  expect([code === 0 || code === 141, stderr]).toEqual([true, ""]);
});
