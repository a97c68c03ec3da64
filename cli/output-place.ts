/** @file Whether the files of a job can be made where `--out` wants them; nothing stays there yet. */
import { mkdtemp, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Violation } from "../shared/core/errors.js";
import { type OutputPlan, type PathKind, planOutputs } from "./output-plan.js";

/** Of the folder beside `--out` in which files are made. */
export const STAGING_PREFIX = ".renderfarm-";

/**
 * @param violations gets what is wrong with `--out`; the result is null exactly then
 */
export async function placeOutputs(
  { out, json = false }: { readonly out?: string; readonly json?: boolean },
  job: Parameters<typeof planOutputs>[2],
  violations: Violation[],
): Promise<OutputPlan | null> {
  if (out === undefined || out === "") {
    const description = "is missing; name a file such as clip.mp4, a folder, or - for stdout";
    violations.push({ field: "--out", description });
    return null;
  }
  const plan = planOutputs(out, await pathKind(out), job);
  const problem = typeof plan === "string" ? plan : await placeProblem(plan, json);
  if (problem === null) return plan as OutputPlan;
  violations.push({ field: "--out", description: problem });
  return null;
}

async function placeProblem(plan: OutputPlan, json: boolean): Promise<string | null> {
  if (plan.kind === "stdout") {
    if (json) return "'-' and --json both want stdout; name a file";
    const way = "send it on: ... --out - > clip.mp4, or name a file";
    return process.stdout.isTTY ? `'-' would write a file's bytes to a terminal; ${way}` : null;
  }
  const folder = await nearestFolder(plan.kind === "file" ? dirname(plan.path) : plan.path);
  if (!(await stat(folder)).isDirectory()) return `'${folder}' is a file and no folder`;
  return writeProblem(folder);
}

/** Rights do not tell all: file systems are read-only, full, or take no files, as /proc. */
async function writeProblem(folder: string): Promise<string | null> {
  try {
    await rmdir(await mkdtemp(join(folder, STAGING_PREFIX)));
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return `folder '${folder}' cannot be written to (${code}); name a path elsewhere`;
  }
}

/** The path itself, or the first one above it that exists. */
export async function nearestFolder(path: string): Promise<string> {
  for (let at = resolve(path); ; at = dirname(at)) {
    const exists = await stat(at).then(
      () => true,
      () => false,
    );
    if (exists || at === dirname(at)) return at;
  }
}

export async function pathKind(path: string | undefined): Promise<PathKind> {
  if (path === undefined) return "missing";
  return stat(path).then(
    (stats) => (stats.isDirectory() ? "folder" : "file"),
    () => "missing",
  );
}
