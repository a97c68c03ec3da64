/** @file How far a job is: a bar on a terminal, single lines everywhere else; always on stderr. */
import type { ClipPreview, ClipView, JobView } from "../shared/farm/job.js";
import { isTerminal } from "../shared/farm/job.js";
import { previewLines } from "./preview-blocks.js";
import { ProgressBar, showsBar } from "./progress-bar.js";
import { isQuiet } from "./voice.js";

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

/** A bar where one can be drawn, else lines; nothing where nothing is wanted. */
export function showProgress(
  stream: NodeJS.WriteStream,
  environment: Readonly<Record<string, string | undefined>>,
): Progress {
  if (isQuiet()) return lineProgress(() => {});
  if (!showsBar(stream, environment)) return lineProgress((line) => stream.write(`${line}\n`));
  const progress = barProgress(stream);
  const { NO_COLOR } = environment;
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
  const bar = new ProgressBar(stream);
  return {
    update: (job) => {
      const { done, total } = workOf(job);
      bar.update(done, total, statusOf(job));
    },
    note: (line) => bar.note(line),
    stop: () => bar.stop(),
  };
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
