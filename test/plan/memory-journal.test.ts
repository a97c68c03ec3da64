import { test } from "vitest";
import { journalContract } from "../../shared/ports/journal.contract.js";
import { JournalMemory, MemoryJournal } from "./memory-journal.js";

test.each(journalContract)("MemoryJournal %s", async (_name, check) => {
  const memory = new JournalMemory();
  await check({ open: async () => new MemoryJournal(memory) });
});
