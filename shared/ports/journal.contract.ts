/** @file What every Journal must do; each adapter's test runs all of it against a fresh journal. */
import assert from "node:assert/strict";
import type { Journal } from "./journal.js";

/** Opens the same journal again and again, as a coordinator's restarts do. */
export interface JournalBench {
  open(): Promise<Journal>;
}

/** Named checks; a check rejects when the journal breaks the contract. */
export const journalContract: readonly (readonly [
  name: string,
  check: (bench: JournalBench) => Promise<void>,
])[] = [
  ["starts empty", startsEmpty],
  ["gives back all records in order after a restart", restart],
  ["keeps the records of one append together and in order", oneAppend],
  ["keeps the order of concurrent appends", concurrent],
  ["keeps any text without line breaks", anyText],
  ["answers an append of nothing", appendNothing],
  ["refuses appends once closed", closed],
  ["is held by one at a time", heldByOne],
];

async function startsEmpty(bench: JournalBench): Promise<void> {
  const journal = await bench.open();
  assert.deepEqual(await recordsOf(journal), []);
  await journal.close();
}

async function restart(bench: JournalBench): Promise<void> {
  const written: string[] = [];
  for (let boot = 0; boot < 3; boot++) {
    const journal = await bench.open();
    assert.deepEqual(await recordsOf(journal), written);
    for (let i = 0; i < 4; i++) {
      const record = JSON.stringify({ boot, i });
      await journal.append([record]);
      written.push(record);
    }
    await journal.close();
  }
}

async function oneAppend(bench: JournalBench): Promise<void> {
  const batch = Array.from({ length: 50 }, (_, i) => `{"i":${i}}`);
  assert.deepEqual(await afterRestart(bench, (journal) => journal.append(batch)), batch);
}

async function concurrent(bench: JournalBench): Promise<void> {
  const records = Array.from({ length: 200 }, (_, i) => `{"i":${i}}`);
  const got = await afterRestart(bench, async (journal) => {
    await Promise.all(records.map((record) => journal.append([record])));
  });
  assert.deepEqual(got, records);
}

async function anyText(bench: JournalBench): Promise<void> {
  const records = ['"\u0000\\n\r\u2028"', '"\u00e9\u{1f3a5}"', "", " ", `"${"x".repeat(200_000)}"`];
  assert.deepEqual(await afterRestart(bench, (journal) => journal.append(records)), records);
}

async function appendNothing(bench: JournalBench): Promise<void> {
  assert.deepEqual(await afterRestart(bench, (journal) => journal.append([])), []);
}

async function closed(bench: JournalBench): Promise<void> {
  const journal = await bench.open();
  await recordsOf(journal);
  await journal.close();
  await journal.close();
  await assert.rejects(journal.append(["{}"]));
}

async function heldByOne(bench: JournalBench): Promise<void> {
  const journal = await bench.open();
  await assert.rejects(bench.open());
  await journal.close();
  await (await bench.open()).close();
}

async function afterRestart(
  bench: JournalBench,
  write: (journal: Journal) => Promise<void>,
): Promise<string[]> {
  const first = await bench.open();
  await recordsOf(first);
  await write(first);
  await first.close();
  const second = await bench.open();
  try {
    return await recordsOf(second);
  } finally {
    await second.close();
  }
}

async function recordsOf(journal: Journal): Promise<string[]> {
  const records: string[] = [];
  for await (const record of journal.read()) records.push(record);
  return records;
}
