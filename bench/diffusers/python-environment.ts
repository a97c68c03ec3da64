/** @file A Python with diffusers and PyTorch: made once, in the user's cache folder. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { root, SUBJECTS, type Subject } from "../subjects.js";

const run = promisify(execFile);

/** Where what a bench makes once is kept. */
export function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "renderfarm");
}

/**
 * The interpreter of an environment with requirements.txt in it, or the one that
 * RENDERFARM_BENCH_PYTHON names.
 *
 * @throws Error when python3 or a package cannot be had
 */
export async function pythonWithDiffusers(): Promise<string> {
  const own = process.env["RENDERFARM_BENCH_PYTHON"];
  if (own) return own;
  const requirements = join(root, "bench", "diffusers", "requirements.txt");
  const name = createHash("sha256")
    .update(await readFile(requirements))
    .digest("hex")
    .slice(0, 12);
  const folder = join(cacheFolder(), `python-${name}`);
  const python = join(folder, "bin", "python");
  if (await isThere(join(folder, "complete"))) return python;
  process.stderr.write(`installing diffusers and PyTorch in ${folder}; this takes minutes, once\n`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(cacheFolder(), { recursive: true });
  await run("python3", ["-m", "venv", folder]);
  const maxBuffer = 1 << 26;
  await run(python, ["-m", "pip", "install", "--quiet", "-r", requirements], { maxBuffer });
  await mkdir(join(folder, "complete"));
  return python;
}

/** The folder of the medium checkpoint, made at the first call. */
export async function mediumCheckpoint(python: string): Promise<string> {
  const script = join(root, "bench", "diffusers", "make_medium.py");
  const name = createHash("sha256")
    .update(await readFile(script))
    .digest("hex")
    .slice(0, 12);
  const folder = join(cacheFolder(), `medium-${name}`);
  if (await isThere(folder)) return folder;
  process.stderr.write(`making the medium checkpoint in ${folder}\n`);
  await run(python, [script, `${folder}.part`], { maxBuffer: 1 << 26 });
  await rename(`${folder}.part`, folder);
  return folder;
}

/** What it is measured at, as `SUBJECTS` are. */
export async function mediumSubject(): Promise<Subject> {
  const checkpoint = await mediumCheckpoint(await pythonWithDiffusers());
  return { ...SUBJECTS[0]!, name: "medium", checkpoint, frames: 8, height: 256, width: 256 };
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
