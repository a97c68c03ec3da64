/**
 * @file Where each finished file of a job goes: `--out` is one file, a folder of numbered clips, or
 * stdout.
 *
 * Pure: what lies at `--out` already is an argument.
 */
import { basename, dirname, extname, join } from "node:path";
import { OUTPUT_FORMATS, type OutputFormat } from "../shared/farm/parameters.js";

/** What is at the path now. */
export type PathKind = "file" | "folder" | "missing";

export type OutputPlan =
  /** One file's bytes, and nothing else. */
  | { readonly kind: "stdout" }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "folder"; readonly path: string; readonly clipCount: number };

/** What `--out` and inputs call stdout and stdin; a file of that name is "./-". */
export const STANDARD_STREAM = "-";

/** All clips of a job in one file of a folder. */
const CLIPS_FILE = "clips.safetensors";

/**
 * Whether `--out` means one file: a path with an extension, unless it is a folder already.
 */
export function isFilePath(out: string, kind: PathKind): boolean {
  return out !== STANDARD_STREAM && kind !== "folder" && extname(out) !== "" && !out.endsWith("/");
}

/**
 * The format that the extension of a file names.
 *
 * @returns null for a folder and for an extension that is no format
 */
export function formatOfPath(out: string, kind: PathKind): OutputFormat | null {
  if (!isFilePath(out, kind)) return null;
  const extension = extname(out).slice(1).toLowerCase();
  return OUTPUT_FORMATS.find((format) => format === extension) ?? null;
}

/**
 * Places the outputs of a job.
 *
 * @param job    what was asked for, checked
 * @returns a sentence that says what is wrong when the outputs do not fit `--out`
 */
export function planOutputs(
  out: string,
  kind: PathKind,
  job: {
    readonly formats: readonly OutputFormat[];
    readonly clipCount: number;
    readonly numFrames: number;
  },
): OutputPlan | string {
  const { formats, clipCount } = job;
  if (out === STANDARD_STREAM) {
    const many = severalFiles(job);
    return many === null
      ? { kind: "stdout" }
      : `'-' is one file for ${many}; name a folder, such as 'clips'`;
  }
  if (!isFilePath(out, kind)) {
    if (kind === "file") return `'${out}' is a file and no folder; name another path`;
    return { kind: "folder", path: out, clipCount };
  }
  const folder = out.slice(0, -extname(out).length);
  const many = severalFiles(job);
  if (many !== null) {
    return `'${out}' is one file for ${many}; name a folder instead, such as '${folder}'`;
  }
  if (formats[0] === "mp4" && extname(out).toLowerCase() === ".json") {
    return `'${out}' is the name of the clip's own text file; give the mp4 another extension`;
  }
  return { kind: "file", path: out };
}

/** What makes several files of a job; null where it is one, not counting an mp4's text file. */
function severalFiles({ formats, clipCount, numFrames }: Parameters<typeof planOutputs>[2]) {
  const [format, ...others] = formats;
  if (others.length > 0) return `${formats.length} formats (${formats.join(", ")})`;
  if (format === "png") {
    return clipCount * numFrames > 1 ? `${clipCount * numFrames} frames` : null;
  }
  return format !== "safetensors" && clipCount > 1 ? `${clipCount} clips` : null;
}

/**
 * The path of one file of a clip.
 *
 * @param fileName as the farm names it: "clip.mp4", "clip.json", "frame-001.png"
 */
export function outputPath(
  plan: OutputPlan,
  clipIndex: number,
  output: { readonly format: OutputFormat; readonly fileName: string },
): string {
  const extension = extname(output.fileName);
  if (plan.kind === "stdout") return STANDARD_STREAM;
  if (plan.kind === "file") {
    if (extension !== ".json") return plan.path;
    return join(dirname(plan.path), `${basename(plan.path, extname(plan.path))}.json`);
  }
  if (output.format === "safetensors") return join(plan.path, CLIPS_FILE);
  const digits = Math.max(3, String(plan.clipCount).length);
  const clip = `clip-${String(clipIndex + 1).padStart(digits, "0")}`;
  if (output.format === "png") return join(plan.path, clip, output.fileName);
  return join(plan.path, `${clip}${extension}`);
}
