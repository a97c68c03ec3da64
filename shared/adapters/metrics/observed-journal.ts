/** @file A journal whose appends are timed, and whose failures somebody hears of. */
import { asFarmError, type FarmErrorCode } from "../../core/errors.js";
import type { Clock } from "../../ports/clock.js";
import type { Journal, JournalSnapshot } from "../../ports/journal.js";

export interface JournalObserver {
  /** Records became durable, so many seconds after the call. */
  appended(seconds: number): void;
  failed(operation: "append" | "snapshot", code: FarmErrorCode): void;
}

export function observedJournal(
  journal: Journal,
  observer: JournalObserver,
  clock: Pick<Clock, "nowMs">,
): Journal {
  const watched = async <T>(operation: "append" | "snapshot", work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      observer.failed(operation, asFarmError(error).code);
      throw error;
    }
  };
  return {
    snapshots: () => journal.snapshots(),
    read: (after: JournalSnapshot | null) => journal.read(after),
    readOn: () => journal.readOn?.() ?? nothing(),
    stalled: () => journal.stalled?.() ?? null,
    append: async (records) => {
      const startMs = clock.nowMs();
      await watched("append", journal.append(records));
      observer.appended((clock.nowMs() - startMs) / 1_000);
    },
    head: () => journal.head(),
    snapshot: (lines) => watched("snapshot", journal.snapshot(lines)),
    close: () => journal.close(),
  };
}

async function* nothing(): AsyncGenerator<string, void> {}
