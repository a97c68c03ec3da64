/** @file How far a job is: a bar on a terminal, single lines everywhere else; always on stderr. */
import { MultiBar, type SingleBar } from "cli-progress";
import type { ClipPreview, ClipView, JobView } from "../shared/farm/job.js";
import { isTerminal } from "../shared/farm/job.js";
import { previewLines } from "./preview-blocks.js";

export interface Progress {
  update(job: JobView): void;
  /** A line of its own, above the bar. */
  note(line: string): void;
  /** Shows what a clip looks like, where that can be shown; absent where it cannot. */
  readonly preview?: (preview: ClipPreview) => void;
  /** Leaves the terminal as it was. */
  stop(): void;
}

/** Decoding a frame takes about this many denoising steps; it only shapes the bar. */
const STEPS_PER_FRAME = 0.1;
/** Without a terminal a line is printed each time this share of the steps is done. */
const LINE_SHARE = 0.2;

/** A bar where one can be drawn: on a terminal that is not dumb, outside CI. */
export function showProgress(
  stream: NodeJS.WriteStream,
  environment: Readonly<Record<string, string | undefined>>,
): Progress {
  const { TERM, CI, NO_COLOR } = environment;
  const hasBar = stream.isTTY && TERM !== "dumb" && (CI === undefined || CI === "");
  if (!hasBar) return lineProgress((line) => stream.write(`${line}\n`));
  const progress = barProgress(stream);
  const hasColours = NO_COLOR === undefined || NO_COLOR === "";
  return hasColours ? withPreviews(progress, stream) : progress;
}

/** Prints each preview above the bar: its clip and step, then its lines. */
function withPreviews(progress: Progress, stream: NodeJS.WriteStream): Progress {
  const preview = async ({ clipIndex, step, image }: ClipPreview): Promise<void> => {
    const lines = await previewLines(image, stream.columns);
    progress.note([`clip ${clipIndex + 1}, step ${step}`, ...lines].join("\n"));
  };
  return {
    ...progress,
    // What cannot be shown is not worth a word.
    preview: (shown) => void preview(shown).catch(() => {}),
  };
}

function barProgress(stream: NodeJS.WriteStream): Progress {
  // One bar; only the class for several can print lines above it.
  const bars = new MultiBar({
    stream,
    format: "{bar} {percentage}% | {status} | {duration_formatted} | ETA {eta_formatted}",
    formatTime,
    barCompleteChar: "#",
    barIncompleteChar: ".",
    barsize: 28,
    hideCursor: true,
    clearOnComplete: true,
    etaBuffer: 20,
    gracefulExit: false, // signals are ours
  });
  let bar: SingleBar | null = null;
  return {
    update: (job) => {
      const { done, total } = workOf(job);
      const payload = { status: statusOf(job) };
      bar ??= bars.create(total, done, payload);
      bar.update(done, payload);
    },
    note: (line) => {
      if (!bars.isActive) stream.write(`${line}\n`);
      else {
        bars.log(`${line}\n`);
        bars.update(); // else a bar that stops first would swallow the line
      }
    },
    stop: () => {
      if (bar) bars.stop();
    },
  };
}

/** "4s", "3m20s", "1h05m"; a time that is not known yet is no number. */
export function formatTime(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  const padded = (n: number) => String(n).padStart(2, "0");
  if (hours > 0) return `${hours}h${padded(minutes % 60)}m`;
  if (minutes > 0) return `${minutes}m${padded(Math.floor(seconds % 60))}s`;
  return `${Math.floor(seconds)}s`;
}

/** Prints each milestone once. */
export function lineProgress(print: (line: string) => void): Progress {
  const printed = new Set<string>();
  return {
    update: (job) => {
      for (const line of milestonesOf(job)) {
        if (!printed.has(line)) print(line);
        printed.add(line);
      }
    },
    note: print,
    stop: () => {},
  };
}

/** Work in units of denoising steps. */
export function workOf(job: JobView): { done: number; total: number } {
  const chunkSteps = (clip: ClipView) =>
    (job.parameters.numFrames / Math.max(1, clip.chunksTotal)) * STEPS_PER_FRAME;
  const sum = (of: (clip: ClipView) => number) => job.clips.reduce((n, clip) => n + of(clip), 0);
  return {
    done: sum((clip) => clip.stepsDone + clip.chunksDone * chunkSteps(clip)),
    total: sum((clip) => clip.stepsTotal + clip.chunksTotal * chunkSteps(clip)),
  };
}

/** What happens now, in a few words: "clip 2/3: step 7/25". */
export function statusOf(job: JobView): string {
  const ended = job.clips.filter((clip) => isTerminal(clip.state)).length;
  const active = job.clips.filter((clip) => clip.state === "running");
  const shown = active[0];
  if (!shown) return ended === job.clips.length ? "done" : "waiting for a node";
  const others = active.length > 1 ? ` (and ${active.length - 1} more)` : "";
  return `${clipLabel(job, shown)}${phaseOf(shown)}${others}`;
}

function phaseOf(clip: ClipView): string {
  if (clip.stepsDone < clip.stepsTotal) {
    const isDenoising = clip.stages.some((stage) => stage.stage === "denoise");
    return isDenoising ? `step ${clip.stepsDone}/${clip.stepsTotal}` : "reading the picture";
  }
  if (clip.chunksDone < clip.chunksTotal) {
    return `decoding, chunk ${clip.chunksDone}/${clip.chunksTotal}`;
  }
  return "writing files";
}

/** Every line that the job has earned so far, in order. */
function milestonesOf(job: JobView): string[] {
  return job.clips.flatMap((clip) => {
    const label = clipLabel(job, clip);
    const lines: string[] = [];
    const stride = Math.max(1, Math.round(clip.stepsTotal * LINE_SHARE));
    for (let step = stride; step <= clip.stepsDone; step += stride) {
      lines.push(`${label}step ${step}/${clip.stepsTotal}`);
    }
    if (clip.chunksDone > 0) {
      lines.push(`${label}decoded chunk ${clip.chunksDone}/${clip.chunksTotal}`);
    }
    if (clip.state === "failed") lines.push(`${label}failed: ${clip.error?.detail ?? ""}`);
    else if (isTerminal(clip.state)) lines.push(`${label}${clip.state}`);
    return lines;
  });
}

function clipLabel(job: JobView, clip: ClipView): string {
  return job.clips.length === 1 ? "" : `clip ${clip.index + 1}/${job.clips.length}: `;
}
