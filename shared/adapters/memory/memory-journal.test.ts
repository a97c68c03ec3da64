import { test } from "vitest";
import { journalContract } from "../../ports/journal.contract.js";
import { JournalMemory, MemoryJournal } from "./memory-journal.js";

test.each(journalContract)("MemoryJournal %s", async (_name, check) => {
  const memory = new JournalMemory();
  await check({ open: async () => new MemoryJournal(memory) });
});
