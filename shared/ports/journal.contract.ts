/** @file What every Journal must do; each adapter's test runs all of it against a fresh journal. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { FarmError } from "../core/errors.js";
import type { Journal, JournalHead, JournalSnapshot } from "./journal.js";
import { JOURNAL_START } from "./journal.js";

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
  ["has a head that is the hash over all records", headIsChain],
  ["knows its head after a restart", headAfterRestart],
  ["keeps a snapshot and the place that it stands for", keepsSnapshot],
  ["reads on after a snapshot, or everything", readsAfterSnapshot],
  ["has in a snapshot's place the appends before it and none after it", placeOfSnapshot],
  ["takes appends while a snapshot is written", appendsMeanwhile],
  ["keeps two snapshots and the records after the older one", keepsTwo],
  ["does not pretend to have records that snapshots replaced", replacedRecords],
  ["is as before when a snapshot fails", failedSnapshot],
  ["keeps a snapshot of no lines and one of nothing", emptySnapshots],
  ["gives up a snapshot when it is closed", closedDuringSnapshot],
];

async function startsEmpty(bench: JournalBench): Promise<void> {
  const journal = await bench.open();
  assert.deepEqual(await journal.snapshots(), []);
  assert.deepEqual(await recordsOf(journal), []);
  assert.deepEqual(journal.head(), JOURNAL_START);
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
  const batch = numbered(50);
  await write(bench, (journal) => journal.append(batch));
  assert.deepEqual(await reopened(bench), batch);
}

async function concurrent(bench: JournalBench): Promise<void> {
  const records = numbered(200);
  await write(bench, async (journal) => {
    await Promise.all(records.map((record) => journal.append([record])));
  });
  assert.deepEqual(await reopened(bench), records);
}

async function anyText(bench: JournalBench): Promise<void> {
  const records = ['"\u0000\\n\r\u2028"', '"\u00e9\u{1f3a5}"', "", " ", `"${"x".repeat(200_000)}"`];
  await write(bench, (journal) => journal.append(records));
  assert.deepEqual(await reopened(bench), records);
  await write(bench, async (journal) => void (await journal.snapshot(records)));
  await write(bench, async (journal) => {
    const [snapshot] = await journal.snapshots();
    assert.deepEqual(await linesOf(snapshot), records);
  });
}

async function appendNothing(bench: JournalBench): Promise<void> {
  await write(bench, (journal) => journal.append([]));
  assert.deepEqual(await reopened(bench), []);
}

async function closed(bench: JournalBench): Promise<void> {
  const journal = await bench.open();
  await recordsOf(journal);
  await journal.close();
  await journal.close();
  await assert.rejects(journal.append(["{}"]), FarmError);
  await assert.rejects(journal.snapshot([]), FarmError);
}

async function heldByOne(bench: JournalBench): Promise<void> {
  const journal = await bench.open();
  await assert.rejects(bench.open(), FarmError);
  await journal.close();
  await (await bench.open()).close();
}

async function headIsChain(bench: JournalBench): Promise<void> {
  const records = ['{"a":1}', "\u00e9", ""];
  await write(bench, async (journal) => {
    await journal.append(records.slice(0, 1));
    assert.deepEqual(journal.head(), headOf(records.slice(0, 1)));
    await journal.append(records.slice(1));
    assert.deepEqual(journal.head(), headOf(records));
  });
}

async function headAfterRestart(bench: JournalBench): Promise<void> {
  const records = numbered(7);
  await write(bench, (journal) => journal.append(records.slice(0, 4)));
  await write(bench, async (journal) => {
    assert.deepEqual(journal.head(), headOf(records.slice(0, 4)));
    await journal.snapshot([]);
    await journal.append(records.slice(4));
  });
  const journal = await bench.open();
  const [snapshot] = await journal.snapshots();
  await recordsOf(journal, snapshot);
  assert.deepEqual(journal.head(), headOf(records));
  await journal.close();
}

async function keepsSnapshot(bench: JournalBench): Promise<void> {
  const lines = numbered(1000);
  await write(bench, async (journal) => {
    await journal.append(["a", "b"]);
    assert.deepEqual(await journal.snapshot(lines), headOf(["a", "b"]));
  });
  const journal = await bench.open();
  const [snapshot, ...others] = await journal.snapshots();
  assert.deepEqual(snapshot?.head, headOf(["a", "b"]));
  assert.deepEqual(await linesOf(snapshot), lines);
  assert.equal(others.length, 0);
  await journal.close();
}

async function readsAfterSnapshot(bench: JournalBench): Promise<void> {
  const records = numbered(6);
  await write(bench, async (journal) => {
    await journal.append(records.slice(0, 4));
    await journal.snapshot(["x"]);
    await journal.append(records.slice(4));
  });
  assert.deepEqual(await reopened(bench, 0), records.slice(4));
  assert.deepEqual(await reopened(bench), records);
}

async function placeOfSnapshot(bench: JournalBench): Promise<void> {
  await write(bench, async (journal) => {
    await journal.append(["a"]);
    const calls = [journal.append(["b"]), journal.append(["c"]), journal.snapshot(["abc"])];
    await Promise.all([...calls, journal.append(["d"])]);
    assert.deepEqual(await calls[2], headOf(["a", "b", "c"]));
  });
  assert.deepEqual(await reopened(bench, 0), ["d"]);
  assert.deepEqual(await reopened(bench), ["a", "b", "c", "d"]);
}

async function appendsMeanwhile(bench: JournalBench): Promise<void> {
  const appended: Promise<void>[] = [];
  function* lines(journal: Journal): Generator<string> {
    for (let i = 0; i < 100; i++) {
      appended.push(journal.append([`during ${i}`]));
      yield "x".repeat(10_000);
    }
  }
  await write(bench, async (journal) => {
    await journal.append(["before"]);
    assert.deepEqual(await journal.snapshot(lines(journal)), headOf(["before"]));
    await Promise.all(appended);
  });
  const during = Array.from({ length: 100 }, (_, i) => `during ${i}`);
  assert.deepEqual(await reopened(bench, 0), during);
}

async function keepsTwo(bench: JournalBench): Promise<void> {
  for (const name of ["a", "b", "c"]) {
    await write(bench, async (journal) => {
      await journal.append([name]);
      await journal.snapshot([`up to ${name}`]);
    });
  }
  await write(bench, (journal) => journal.append(["d"]));
  const journal = await bench.open();
  const [newest, older] = await journal.snapshots();
  assert.deepEqual(newest?.head, headOf(["a", "b", "c"]));
  assert.deepEqual(await linesOf(newest), ["up to c"]);
  assert.deepEqual(older?.head, headOf(["a", "b"]));
  assert.deepEqual(await linesOf(older), ["up to b"]);
  await journal.close();
  assert.deepEqual(await reopened(bench, 0), ["d"]);
  assert.deepEqual(await reopened(bench, 1), ["c", "d"]);
}

async function replacedRecords(bench: JournalBench): Promise<void> {
  const records = numbered(5);
  for (const record of records) {
    await write(bench, async (journal) => {
      await journal.append([record]);
      await journal.snapshot([]);
    });
  }
  const journal = await bench.open();
  // Every one of them, or a plain refusal: never a part that looks like a whole.
  const all = await recordsOf(journal).catch((error: unknown) => error);
  if (Array.isArray(all)) assert.deepEqual(all, records);
  else assert(all instanceof FarmError && all.code === "wrong-state", String(all));
  await journal.close();
}

async function failedSnapshot(bench: JournalBench): Promise<void> {
  function* failing(): Generator<string> {
    yield "x".repeat(200_000);
    throw new Error("no more");
  }
  await write(bench, async (journal) => {
    await journal.append(["a"]);
    await journal.snapshot(["good"]);
    await journal.append(["b"]);
    await assert.rejects(journal.snapshot(failing()), /no more/);
    await journal.append(["c"]);
  });
  const journal = await bench.open();
  const [snapshot, ...others] = await journal.snapshots();
  assert.deepEqual(snapshot?.head, headOf(["a"]));
  assert.equal(others.length, 0);
  assert.deepEqual(await recordsOf(journal, snapshot), ["b", "c"]);
  await journal.snapshot(["again"]);
  await journal.close();
}

async function emptySnapshots(bench: JournalBench): Promise<void> {
  await write(bench, async (journal) => {
    assert.deepEqual(await journal.snapshot(["of nothing"]), JOURNAL_START);
    await journal.append(["a"]);
    assert.deepEqual(await journal.snapshot([]), headOf(["a"]));
    assert.deepEqual(await journal.snapshot([]), headOf(["a"]));
  });
  const journal = await bench.open();
  const [newest, older] = await journal.snapshots();
  assert.deepEqual(await linesOf(newest), []);
  assert.deepEqual(await linesOf(older), ["of nothing"]);
  assert.deepEqual(await recordsOf(journal, older), ["a"]);
  await journal.close();
}

async function closedDuringSnapshot(bench: JournalBench): Promise<void> {
  const journal = await bench.open();
  await recordsOf(journal);
  await journal.append(["a"]);
  const closing: Promise<void>[] = [];
  function* lines(): Generator<string> {
    for (;;) {
      if (closing.length === 0) closing.push(journal.close());
      yield "x".repeat(100_000);
    }
  }
  await assert.rejects(journal.snapshot(lines()), FarmError);
  await Promise.all(closing);
  assert.deepEqual(await reopened(bench), ["a"]);
}

/** Opens, reads to the end and closes around what is to be written. */
async function write(
  bench: JournalBench,
  writing: (journal: Journal) => Promise<void>,
): Promise<void> {
  const journal = await bench.open();
  try {
    const snapshots = await journal.snapshots();
    await recordsOf(journal, snapshots[0]);
    await writing(journal);
  } finally {
    await journal.close();
  }
}

/** @param snapshot which one is read on from, counted from the newest; none: all records */
async function reopened(bench: JournalBench, snapshot?: number): Promise<string[]> {
  const journal = await bench.open();
  try {
    const snapshots = await journal.snapshots();
    return await recordsOf(journal, snapshot === undefined ? undefined : snapshots[snapshot]);
  } finally {
    await journal.close();
  }
}

async function recordsOf(journal: Journal, after?: JournalSnapshot): Promise<string[]> {
  return collected(journal.read(after ?? null));
}

async function linesOf(snapshot: JournalSnapshot | undefined): Promise<string[]> {
  assert(snapshot, "a snapshot");
  return collected(snapshot.lines());
}

async function collected(texts: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const text of texts) all.push(text);
  return all;
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `{"i":${i}}`);
}

/** The chain as the port defines it, computed apart from every adapter. */
function headOf(records: readonly string[]): JournalHead {
  let { hash } = JOURNAL_START;
  for (const [i, record] of records.entries()) {
    hash = createHash("sha256")
      .update(`${hash} ${i + 1} ${record}`)
      .digest("hex");
  }
  return { number: records.length, hash };
}
