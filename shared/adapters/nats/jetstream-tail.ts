/** @file Reads a journal's stream along with its writer, who is somebody else. */
import { JOURNAL_START, type JournalHead, type JournalTail } from "../../ports/journal.js";
import type { JetStreamJournalOptions } from "./jetstream-journal.js";
import { JetStreamLog } from "./jetstream-log.js";
import { JournalBlobs, type StreamSnapshot } from "./journal-blobs.js";
import { StreamReading } from "./stream-reading.js";

export type TailOptions = Pick<
  JetStreamJournalOptions,
  "client" | "names" | "blobs" | "clock" | "log"
>;

export class JetStreamTail implements JournalTail {
  /** What a journal that is opened by who followed goes on from. */
  readonly reading: StreamReading;
  readonly #stream: JetStreamLog;
  readonly #blobs: JournalBlobs;

  private constructor(stream: JetStreamLog, blobs: JournalBlobs) {
    this.#stream = stream;
    this.#blobs = blobs;
    this.reading = new StreamReading(stream.name);
  }

  /** @throws FarmError "wrong-state" where there is no stream yet, "unreachable" */
  static async open(options: TailOptions): Promise<JetStreamTail> {
    const stream = await JetStreamLog.open({ ...options, isNew: false });
    return new JetStreamTail(stream, new JournalBlobs(options.blobs, options.names.farm));
  }

  get head(): JournalHead {
    return this.reading.head ?? JOURNAL_START;
  }

  snapshots(): Promise<readonly StreamSnapshot[]> {
    return this.#blobs.snapshots();
  }

  async *follow(after: StreamSnapshot | null, stopped: AbortSignal): AsyncGenerator<string, void> {
    const records = this.#stream.follow(this.reading, stopped);
    for await (const { record } of this.reading.after(after?.head ?? JOURNAL_START, records)) {
      yield record;
    }
  }
}
