/** @file What clips look like on their way: the latest strip of frames of each. */
import { signal } from "@preact/signals";

export interface PreviewJson {
  readonly jobId: string;
  readonly clipIndex: number;
  readonly step: number;
  /** A webp in base64: some frames side by side. */
  readonly image: string;
}

export interface Preview {
  readonly step: number;
  /** An object URL. */
  readonly url: string;
}

const keyOf = (jobId: string, clipIndex: number) => `${jobId}/${clipIndex}`;

/** By job and clip. */
const previews = signal<ReadonlyMap<string, Preview>>(new Map());

export function previewOf(jobId: string, clipIndex: number): Preview | undefined {
  return previews.value.get(keyOf(jobId, clipIndex));
}

export function showPreview({ jobId, clipIndex, step, image }: PreviewJson): void {
  const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], { type: "image/webp" }));
  const key = keyOf(jobId, clipIndex);
  const before = previews.value.get(key);
  previews.value = new Map(previews.value).set(key, { step, url });
  if (before) URL.revokeObjectURL(before.url);
}

/** A job that has ended is looked at by its clips. */
export function forgetPreviews(jobId: string): void {
  const left = new Map(previews.value);
  for (const [key, { url }] of previews.value) {
    if (!key.startsWith(`${jobId}/`)) continue;
    URL.revokeObjectURL(url);
    left.delete(key);
  }
  if (left.size < previews.value.size) previews.value = left;
}
