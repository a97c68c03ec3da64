import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { journalContract } from "../../ports/journal.contract.js";
import { FileJournal } from "./file-journal.js";

const RECORDS = ['{"a":1}', '{"b":22}', '{"c":333}'];
let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "journal-"));
  path = join(folder, "farm.journal");
});
afterEach(() => rm(folder, { recursive: true }));

async function recordsOf(journal: FileJournal): Promise<string[]> {
  const records: string[] = [];
  for await (const record of journal.read()) records.push(record);
  return records;
}

async function write(records: readonly string[]): Promise<void> {
  const journal = await FileJournal.open(path);
  await recordsOf(journal);
  await journal.append(records);
  await journal.close();
}

async function reopened(): Promise<string[]> {
  const journal = await FileJournal.open(path);
  try {
    return await recordsOf(journal);
  } finally {
    await journal.close();
  }
}

test.each(journalContract)("FileJournal %s", async (_name, check) => {
  await check({ open: () => FileJournal.open(path) });
});

test("a last line that was cut anywhere is given up, and the next append takes its place", async () => {
  await write(RECORDS);
  const whole = await readFile(path);
  const lastLine = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
  for (let length = lastLine; length < whole.length; length++) {
    await writeFile(path, whole.subarray(0, length));
    const journal = await FileJournal.open(path);
    expect(await recordsOf(journal)).toEqual(RECORDS.slice(0, 2));
    await journal.append(['{"d":4}']);
    await journal.close();
    expect(await reopened()).toEqual([...RECORDS.slice(0, 2), '{"d":4}']);
  }
});

test("a bit flipped anywhere but in the last line break stops the start, naming the line", async () => {
  await write(RECORDS);
  const whole = await readFile(path);
  const lineOf = (at: number) => whole.subarray(0, at).filter((byte) => byte === 0x0a).length + 1;
  const position = fc.tuple(fc.nat(whole.length - 2), fc.nat(7));
  await fc.assert(
    fc.asyncProperty(position, async ([at, bit]) => {
      const damaged = Buffer.from(whole);
      damaged[at] = damaged[at]! ^ (1 << bit);
      await writeFile(path, damaged);
      await expect(reopened()).rejects.toThrow(new RegExp(`line ${lineOf(at)} .*damaged`));
      expect(await readFile(path)).toEqual(damaged);
    }),
    { seed: 1, numRuns: 200 },
  );
});

const edits: [name: string, edit: (lines: string[]) => string[], line: number][] = [
  ["taken out", ([a, , c]) => [a!, c!], 2],
  ["doubled", ([a, b, c]) => [a!, b!, b!, c!], 3],
  ["swapped with the next", ([a, b, c]) => [a!, c!, b!], 2],
  ["at the start taken out", ([, b, c]) => [b!, c!], 1],
];

test.each(edits)("a line %s stops the start", async (_name, edit, line) => {
  await write(RECORDS);
  const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
  await writeFile(path, `${edit(lines).join("\n")}\n`);
  await expect(reopened()).rejects.toThrow(new RegExp(`line ${line} `));
});

test("appends of one turn share one sync", async () => {
  const journal = await FileJournal.open(path);
  await recordsOf(journal);
  const order: string[] = [];
  const appends = RECORDS.map((record) => journal.append([record]).then(() => order.push(record)));
  await appends[0];
  // One write for all: when the first resolves, the bytes of all of them are in the file.
  expect((await readFile(path, "utf8")).split("\n")).toHaveLength(RECORDS.length + 1);
  await Promise.all(appends);
  expect(order).toEqual(RECORDS);
  await journal.close();
});

test("a second journal on the same file is refused by the name of the process", async () => {
  const journal = await FileJournal.open(path);
  await expect(FileJournal.open(path)).rejects.toThrow(new RegExp(`process ${process.pid}`));
  await journal.close();
});

test("the lock of a dead process is taken over, and no file of the take-over stays", async () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  await writeFile(`${path}.lock`, JSON.stringify({ pid, started: null, token: "dead" }));
  await write(RECORDS);
  expect(await reopened()).toEqual(RECORDS);
  expect(await readdir(folder)).toEqual(["farm.journal"]);
});

test.runIf(process.platform === "linux")(
  "the lock of a dead process whose id was given out again is taken over",
  async () => {
    const lock = { pid: process.pid, started: "1", token: "dead" };
    await writeFile(`${path}.lock`, JSON.stringify(lock));
    expect(await reopened()).toEqual([]);
  },
);

test("of ten that want a dead process's lock at once, one gets it", async () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  await writeFile(`${path}.lock`, JSON.stringify({ pid, started: null, token: "dead" }));
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 }, () => FileJournal.open(path)),
  );
  const opened = outcomes.filter((outcome) => outcome.status === "fulfilled");
  expect(opened).toHaveLength(1);
  for (const { value } of opened) await value.close();
});

test("a damaged lock is named, not guessed about", async () => {
  await writeFile(`${path}.lock`, "{");
  await expect(FileJournal.open(path)).rejects.toThrow(/lock .*farm\.journal\.lock is damaged/);
});

test("a folder that is missing is an error with the path", async () => {
  await expect(FileJournal.open(join(folder, "no", "farm.journal"))).rejects.toThrow(
    /cannot open the journal .*ENOENT/,
  );
});

test.runIf(process.platform === "linux")(
  "the lock of a killed process that nobody has reaped yet is taken over",
  async () => {
    // The shell starts a child, names it, and becomes a process that never waits for it.
    const script = "sleep 600 & echo $!; kill -9 $!; exec sleep 600";
    const parent = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      const [line] = (await once(parent.stdout, "data")) as [Buffer];
      const pid = Number(line.toString());
      while (!/\) Z /.test(await readFile(`/proc/${pid}/stat`, "utf8"))) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      await writeFile(`${path}.lock`, JSON.stringify({ pid, started: null, token: "dead" }));
      expect(await reopened()).toEqual([]);
    } finally {
      parent.kill("SIGKILL");
    }
  },
);
