/** @file The chain over a journal's records, the same for every adapter. */
import { createHash } from "node:crypto";
import type { JournalHead } from "../ports/journal.js";

/** The head after one more record. */
export function nextHead(head: JournalHead, record: string): JournalHead {
  const number = head.number + 1;
  const hash = createHash("sha256").update(`${head.hash} ${number} ${record}`).digest("hex");
  return { number, hash };
}
