import { expect, test } from "vitest";
import { FarmError } from "../../core/errors.js";
import { ManualClock } from "../clock/manual-clock.js";
import { MemoryJournal } from "../memory/memory-journal.js";
import { observedJournal } from "./observed-journal.js";

const silent = { appended: () => {}, failed: () => {} };

test("says why appends wait, where the journal says so", () => {
  const full = new FarmError("exhausted", "the stream is full");
  const journal = Object.assign(new MemoryJournal(), { stalled: () => full });
  expect(observedJournal(journal, silent, new ManualClock()).stalled?.()).toBe(full);
  expect(observedJournal(new MemoryJournal(), silent, new ManualClock()).stalled?.()).toBeNull();
});

test("passes on what was followed", async () => {
  const readOn = async function* () {
    yield "one";
  };
  const journal = Object.assign(new MemoryJournal(), { readOn });
  const records: string[] = [];
  const observed = observedJournal(journal, silent, new ManualClock());
  for await (const record of observed.readOn?.() ?? []) records.push(record);
  expect(records).toEqual(["one"]);
});
