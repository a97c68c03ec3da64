/** @file What a screen reader is told, and what everybody sees for a moment. */
import { signal } from "@preact/signals";

/** The latest thing worth saying; politely. */
export const announcement = signal("");

export interface Notice {
  readonly id: number;
  readonly kind: "good" | "bad";
  readonly text: string;
}

export const notices = signal<readonly Notice[]>([]);

const NOTICE_MS = 6_000;
let nextId = 1;

export function announce(text: string): void {
  announcement.value = text;
}

/** Shows a line for a moment; a failure stays until it is closed. */
export function notify(kind: Notice["kind"], text: string): void {
  const notice = { id: nextId++, kind, text };
  notices.value = [...notices.value, notice].slice(-4);
  if (kind === "good") setTimeout(() => dismiss(notice.id), NOTICE_MS);
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/** Does something on a click; what goes wrong is shown. */
export async function attempt(action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    notify("bad", error instanceof Error ? error.message : String(error));
  }
}
