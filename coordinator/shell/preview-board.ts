/** @file The latest preview of clips that are made; never journalled, and bounded whatever comes. */
import type { ClipPreview } from "../../shared/farm/job.js";

/** Clips whose preview is kept, the latest ones: 1.3 MB. */
const PREVIEWS_MAX = 64;

interface Kept extends ClipPreview {
  readonly jobId: string;
}

export class PreviewBoard {
  /** By job and clip, the longest unchanged first. */
  readonly #kept = new Map<string, Kept>();

  /** Takes the place of the clip's preview before. */
  put(jobId: string, preview: ClipPreview): void {
    const key = `${jobId}-${preview.clipIndex}`;
    this.#kept.delete(key);
    this.#kept.set(key, { ...preview, jobId });
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= PREVIEWS_MAX) break;
      this.#kept.delete(oldest);
    }
  }

  /** Of one job, the longest unchanged first. */
  ofJob(jobId: string): ClipPreview[] {
    return [...this.#kept.values()].filter((kept) => kept.jobId === jobId);
  }

  forget(jobId: string): void {
    for (const [key, kept] of this.#kept) if (kept.jobId === jobId) this.#kept.delete(key);
  }
}
