/** @file One bar at the bottom of a terminal, with lines above it. */
import { MultiBar, type SingleBar } from "cli-progress";

/** Whether a bar can be drawn: on a terminal that is not dumb, outside CI. */
export function showsBar(
  { isTTY }: { readonly isTTY?: boolean },
  { TERM, CI }: Readonly<Record<string, string | undefined>>,
): boolean {
  return isTTY === true && TERM !== "dumb" && (CI === undefined || CI === "");
}

/** Drawn with the first update; gone when it is stopped. */
export class ProgressBar {
  readonly #stream: NodeJS.WriteStream;
  readonly #bars: MultiBar;
  #bar: SingleBar | null = null;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    // One bar; only the class for several can print lines above it.
    this.#bars = new MultiBar({
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
  }

  update(done: number, total: number, status: string): void {
    this.#bar ??= this.#bars.create(total, done, { status });
    this.#bar.update(done, { status });
  }

  note(line: string): void {
    if (!this.#bars.isActive) this.#stream.write(`${line}\n`);
    else {
      this.#bars.log(`${line}\n`);
      this.#bars.update(); // else a bar that stops first would swallow the line
    }
  }

  /** Leaves the terminal as it was. */
  stop(): void {
    if (this.#bar) this.#bars.stop();
  }
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
