/** @file A journal in memory, for tests and benches of what is built on one; no process survives. */
import { FarmError } from "../../core/errors.js";
import type { Journal, JournalHead, JournalSnapshot } from "../../ports/journal.js";
import { JOURNAL_START } from "../../ports/journal.js";
import { nextHead } from "../journal-chain.js";

interface MemorySnapshot {
  readonly head: JournalHead;
  readonly lines: readonly string[];
}

/** What a crash leaves; tests may look at it and damage it. */
export class JournalMemory {
  readonly records: string[] = [];
  /** The newest first. */
  snapshots: MemorySnapshot[] = [];
  isOpen = false;
  /** Number of the first record that is there still; a test drops those before it. */
  firstKept = 1;
}

export class MemoryJournal implements Journal {
  readonly memory: JournalMemory;
  #head = JOURNAL_START;
  #closed = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(memory = new JournalMemory()) {
    if (memory.isOpen) throw new FarmError("wrong-state", "the journal is open");
    memory.isOpen = true;
    this.memory = memory;
  }

  async snapshots(): Promise<readonly JournalSnapshot[]> {
    return this.memory.snapshots.map(({ head, lines }) => ({
      head,
      async *lines() {
        yield* lines;
      },
    }));
  }

  async *read(after: JournalSnapshot | null): AsyncGenerator<string, void> {
    if ((after?.head.number ?? 0) + 1 < this.memory.firstKept) {
      throw new FarmError("wrong-state", "a snapshot has replaced the first records");
    }
    for (const record of [...this.memory.records]) {
      this.#head = nextHead(this.#head, record);
      if (this.#head.number > (after?.head.number ?? 0)) yield record;
    }
  }

  append(records: readonly string[]): Promise<void> {
    return this.#inOrder(() => {
      for (const record of records) this.#head = nextHead(this.#head, record);
      this.memory.records.push(...records);
    });
  }

  head(): JournalHead {
    return this.#head;
  }

  async snapshot(lines: Iterable<string>): Promise<JournalHead> {
    const head = await this.#inOrder(() => this.#head);
    const kept: string[] = [];
    for (const line of lines) {
      this.#refuseClosed();
      kept.push(line);
    }
    const others = this.memory.snapshots.filter((other) => other.head.number !== head.number);
    this.memory.snapshots = [{ head, lines: kept }, ...others].slice(0, 2);
    return head;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.memory.isOpen = false;
  }

  #inOrder<T>(action: () => T): Promise<T> {
    const done = this.#last.then(() => {
      this.#refuseClosed();
      return action();
    });
    this.#last = done.catch(() => {});
    return done;
  }

  #refuseClosed(): void {
    if (this.#closed) throw new FarmError("wrong-state", "the journal is closed");
  }
}
