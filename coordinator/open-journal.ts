/**
 * @file The journal that a setting names: a folder of this machine, or a stream on NATS.
 *
 * A stream is led by one coordinator at a time; another one that opens it waits as a standby and
 * takes over when the lease is free.
 */
import { FileJournal } from "../shared/adapters/files/file-journal.js";
import { isNatsUrl } from "../shared/adapters/nats/nats-location.js";
import type { FollowOptions } from "../shared/adapters/tls/used-certificate.js";
import type { BlobStore } from "../shared/ports/blob-store.js";
import type { Environment } from "../shared/settings/setting-reader.js";
import type { Term } from "./shell/leadership.js";

/** What `--journal` takes. */
export const JOURNAL_FORM = "file:DIR or nats://HOST:PORT[,HOST:PORT]/FARM?ca=FILE";

interface JournalSourceOptions extends FollowOptions {
  readonly env: Environment;
  /** Who this coordinator is to a standby; no other start of a process has the same. */
  readonly holder: string;
}

/** Where a coordinator's journal comes from, each time that it begins to lead. */
export interface JournalSource {
  /**
   * Opens the journal; waits where another coordinator leads.
   *
   * @param onStandby hears, once, who leads
   * @throws FarmError as the journals do
   */
  lead(blobs: BlobStore, onStandby: (heldBy: string) => void): Promise<Term>;
  /** Whether leadership may be lost and come back; a folder that breaks down stays so. */
  readonly canStandBy: boolean;
  close(): Promise<void>;
}

/** Whether a value of `--journal` has one of the forms at all; the rest shows when it is opened. */
export function isJournalUrl(url: string): boolean {
  return /^file:./.test(url) || isNatsUrl(url);
}

/**
 * @param url as JOURNAL_FORM says
 * @throws FarmError "invalid-argument" when the setting cannot work, "unreachable" when no server
 *   answers
 */
export async function openJournalSource(
  url: string,
  options: JournalSourceOptions,
): Promise<JournalSource> {
  if (!isNatsUrl(url)) {
    const folder = url.slice("file:".length);
    const lead = async () => ({
      journal: await FileJournal.open(folder, options.log),
      followed: null,
    });
    return { lead, canStandBy: false, close: async () => {} };
  }
  // Only who uses NATS loads its client.
  const { NatsJournalSource } = await import("./nats-journal-source.js");
  return NatsJournalSource.open(url, options);
}
