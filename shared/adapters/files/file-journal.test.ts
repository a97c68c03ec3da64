import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import type { FileHandle } from "node:fs/promises";
import {
  appendFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { journalContract } from "../../ports/journal.contract.js";
import type { Log } from "../../ports/log.js";
import { FileJournal } from "./file-journal.js";

const RECORDS = ['{"a":1}', '{"b":22}', '{"c":333}'];
const NEWLINE = 0x0a;
let folder: string;
/** The journal's folder. */
let path: string;
let notices: string[];
const log: Log = { info() {}, warn: (text) => notices.push(text) };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "journal-"));
  path = join(folder, "farm");
  notices = [];
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const padded = (number: number) => String(number).padStart(16, "0");
const segment = (first = 1) => join(path, `journal-${padded(first)}.log`);
const snapshotFile = (number: number) => join(path, `snapshot-${padded(number)}.snap`);

/** @param after which snapshot is read on from, counted from the newest; none: all records */
async function recordsOf(journal: FileJournal, after?: number): Promise<string[]> {
  const snapshots = await journal.snapshots();
  const records: string[] = [];
  for await (const record of journal.read((after !== undefined && snapshots[after]) || null)) {
    records.push(record);
  }
  return records;
}

async function write(records: readonly string[], snapshot: readonly string[] | null = null) {
  const journal = await FileJournal.open(path);
  await recordsOf(journal);
  await journal.append(records);
  if (snapshot) await journal.snapshot(snapshot);
  await journal.close();
}

async function reopened(after?: number): Promise<string[]> {
  const journal = await FileJournal.open(path, log);
  try {
    return await recordsOf(journal, after);
  } finally {
    await journal.close();
  }
}

/** Three snapshots, each after one record, and a record after the last. */
async function writeWithSnapshots(): Promise<void> {
  const journal = await FileJournal.open(path);
  await recordsOf(journal);
  for (const record of RECORDS) {
    await journal.append([record]);
    await journal.snapshot([`up to ${record}`]);
  }
  await journal.append(['{"d":4}']);
  await journal.close();
}

test.each(journalContract)("FileJournal %s", async (_name, check) => {
  await check({ open: () => FileJournal.open(path) });
});

describe("the end of the file after a crash", () => {
  test("a last line that was cut anywhere is given up, and the next append takes its place", async () => {
    await write(RECORDS);
    const whole = await readFile(segment());
    const lastLine = whole.lastIndexOf(NEWLINE, whole.length - 2) + 1;
    for (let length = lastLine; length < whole.length - 1; length++) {
      await writeFile(segment(), whole.subarray(0, length));
      const journal = await FileJournal.open(path);
      expect(await recordsOf(journal)).toEqual(RECORDS.slice(0, 2));
      await journal.append(['{"d":4}']);
      await journal.close();
      expect(await reopened()).toEqual([...RECORDS.slice(0, 2), '{"d":4}']);
    }
  });

  test("what is cut off is logged", async () => {
    await write(RECORDS);
    await truncate(segment(), (await stat(segment())).size - 5);
    await reopened();
    expect(notices).toEqual([expect.stringMatching(/journal-0+1\.log: an unfinished record/)]);
    notices = [];
    await reopened();
    expect(notices).toEqual([]);
  });

  test.each([
    ["missing", (whole: Buffer) => whole.subarray(0, -1)],
    ["changed", (whole: Buffer) => Buffer.concat([whole.subarray(0, -1), Buffer.from("\u000b")])],
  ])(
    "a last record whose line break is %s was perhaps answered for, and stays",
    async (_n, edit) => {
      await write(RECORDS);
      await writeFile(segment(), edit(await readFile(segment())));
      const journal = await FileJournal.open(path, log);
      expect(await recordsOf(journal)).toEqual(RECORDS);
      expect(notices).toEqual([expect.stringMatching(/a missing line break/)]);
      await journal.append(['{"d":4}']);
      await journal.close();
      expect(await reopened()).toEqual([...RECORDS, '{"d":4}']);
    },
  );

  test("a block of zeros, which a power cut may leave, is given up", async () => {
    await write(RECORDS);
    await appendFile(segment(), Buffer.alloc(4096));
    expect(await reopened()).toEqual(RECORDS);
    await write([]);
    expect(await reopened()).toEqual(RECORDS);
  });
});

describe("damage stops the start, naming file, line and what is wrong", () => {
  const lineOf = (bytes: Buffer, at: number) =>
    bytes.subarray(0, at).filter((byte) => byte === NEWLINE).length + 1;

  test("a bit flipped anywhere but in the last line break", async () => {
    await write(RECORDS);
    const whole = await readFile(segment());
    const position = fc.tuple(fc.nat(whole.length - 2), fc.nat(7));
    await fc.assert(
      fc.asyncProperty(position, async ([at, bit]) => {
        const damaged = Buffer.from(whole);
        damaged[at] = damaged[at]! ^ (1 << bit);
        await writeFile(segment(), damaged);
        const named = new RegExp(`farm/journal-0+1\\.log: line ${lineOf(whole, at)} is damaged: `);
        await expect(reopened()).rejects.toThrow(named);
        expect(await readFile(segment())).toEqual(damaged);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  const missing = /line 3 is damaged: it says record 3 where 2 belongs: records are missing/;
  const doubled = /line 4 is damaged: it says record 2 where 3 belongs: it is doubled/;
  const first = /line 2 is damaged: it says record 2 where 1 belongs: records are missing/;
  const changed = /line 3 is damaged: record 2 is not what was written/;
  test.each<[string, (lines: string[]) => string[], RegExp]>([
    ["taken out", ([h, a, , c]) => [h!, a!, c!], missing],
    ["doubled", ([h, a, b, c]) => [h!, a!, b!, b!, c!], doubled],
    ["swapped with the next", ([h, a, b, c]) => [h!, a!, c!, b!], missing],
    ["at the start taken out", ([h, , b, c]) => [h!, b!, c!], first],
    ["changed", ([h, a, b, c]) => [h!, a!, b!.replace("22", "23"), c!], changed],
    [
      "overwritten",
      ([h, a, , c]) => [h!, a!, "hello", c!],
      /line 3 is damaged: it is not a record/,
    ],
    ["of the header taken out", ([, a, b, c]) => [a!, b!, c!], /line 1 is damaged/],
  ])("a line %s", async (_name, edit, message) => {
    await write(RECORDS);
    const lines = (await readFile(segment(), "utf8")).trimEnd().split("\n");
    await writeFile(segment(), `${edit(lines).join("\n")}\n`);
    await expect(reopened()).rejects.toThrow(message);
  });

  test("a record that another journal has in the same place", async () => {
    await write(RECORDS);
    const lines = (await readFile(segment(), "utf8")).split("\n");
    await rm(path, { recursive: true });
    await write(['{"a":9}', '{"b":22}', '{"c":333}']);
    const others = (await readFile(segment(), "utf8")).split("\n");
    await writeFile(segment(), [...lines.slice(0, 2), ...others.slice(2)].join("\n"));
    await expect(reopened()).rejects.toThrow(/line 3 is damaged: .* or is of another journal/);
  });

  test("a cut file that another one follows", async () => {
    await write(RECORDS, ["x"]);
    await truncate(segment(), (await stat(segment())).size - 5);
    await expect(reopened()).rejects.toThrow(/journal-0+1\.log: line 4 .*another file follows/);
  });

  test("records missing between two files", async () => {
    await write(RECORDS, ["x"]);
    const whole = await readFile(segment());
    await truncate(segment(), whole.lastIndexOf(NEWLINE, whole.length - 2) + 1);
    await expect(reopened()).rejects.toThrow(/journal-0+4\.log: line 1 .*does not follow record 2/);
  });

  test("a record that no snapshot covers, and one that a snapshot covers", async () => {
    await writeWithSnapshots();
    for (const [first, after] of [
      [4, 0],
      [3, 0],
      [3, 1],
    ] as const) {
      const whole = await readFile(segment(first), "utf8");
      await writeFile(segment(first), whole.replace('":', '";'));
      await expect(reopened(after)).rejects.toThrow(/line 2 is damaged/);
      await writeFile(segment(first), whole);
    }
  });

  test("a missing file, at the end, in the middle or in the whole", async () => {
    await writeWithSnapshots();
    const whole = await readFile(segment(4));
    await rm(segment(4));
    await expect(reopened(0)).rejects.toThrow(/records after the snapshot are missing/);
    await writeFile(segment(4), whole);
    await rm(segment(3));
    await expect(reopened(1)).rejects.toThrow(/records after the snapshot are missing/);
    await rm(segment(4));
    await expect(reopened()).rejects.toThrow(/a snapshot has replaced the first records/);
  });
});

describe("snapshots", () => {
  test("of three, two stay, with the records after the older one", async () => {
    await writeWithSnapshots();
    expect((await readdir(path)).sort()).toEqual(
      [segment(3), segment(4), snapshotFile(2), snapshotFile(3)].map((file) => basename(file)),
    );
    await expect(reopened()).rejects.toThrow(/replaced the first records, and none can be used/);
  });

  test("until there are two, all records stay", async () => {
    await write(RECORDS, ["x"]);
    expect(await reopened()).toEqual(RECORDS);
  });

  test("any flipped bit and any cut is found before a line is given", async () => {
    await write(RECORDS, ["first", "second"]);
    const whole = await readFile(snapshotFile(3));
    const flips = fc.tuple(fc.nat(whole.length - 1), fc.nat(7)).map(([at, bit]) => {
      const damaged = Buffer.from(whole);
      damaged[at] = damaged[at]! ^ (1 << bit);
      return damaged;
    });
    const cuts = fc.nat(whole.length - 1).map((length) => whole.subarray(0, length));
    await fc.assert(
      fc.asyncProperty(fc.oneof(flips, cuts), async (damaged) => {
        await writeFile(snapshotFile(3), damaged);
        const journal = await FileJournal.open(path, log);
        notices = [];
        for (const snapshot of await journal.snapshots()) {
          await expect(snapshot.lines()[Symbol.asyncIterator]().next()).rejects.toThrow(
            /snapshot-0+3\.snap is damaged: /,
          );
          notices.push("refused");
        }
        expect(notices).toHaveLength(1);
        await journal.close();
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  test("one that is not of this journal is named", async () => {
    await write(RECORDS, ["x"]);
    const snapshot = await readFile(snapshotFile(3), "utf8");
    await rm(path, { recursive: true });
    await write(['{"other":1}', '{"b":22}', '{"c":333}'], ["y"]);
    await writeFile(snapshotFile(3), snapshot);
    await expect(reopened(0)).rejects.toThrow(/snapshot-0+3\.snap is not of this journal/);
  });

  test("a good one takes the place of a damaged one", async () => {
    await writeWithSnapshots();
    await truncate(snapshotFile(3), 100);
    const journal = await FileJournal.open(path);
    expect(await recordsOf(journal, 1)).toEqual([RECORDS[2], '{"d":4}']);
    await journal.snapshot(["up to d"]);
    await journal.close();
    expect((await readdir(path)).sort()).toEqual(
      [segment(3), segment(4), segment(5), snapshotFile(2), snapshotFile(4)].map((file) =>
        basename(file),
      ),
    );
  });

  test("what a crash left half written is removed", async () => {
    await write(RECORDS);
    await writeFile(`${snapshotFile(3)}.tmp`, "renderfarm-sn");
    await writeFile(`${segment(4)}.tmp`, "renderfarm-jo");
    await write([]);
    expect(await readdir(path)).toEqual([basename(segment())]);
  });
});

describe("a disk that takes no more", () => {
  /** The next call of any file handle fails, after something else was done. */
  async function failNext(method: "write" | "datasync", meanwhile = () => {}): Promise<void> {
    const probe = await open(folder, "r");
    const handles = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    vi.spyOn(handles, method).mockImplementationOnce(() => {
      meanwhile();
      const error = new Error("no space");
      return Promise.reject(Object.assign(error, { code: "ENOSPC", syscall: method }));
    });
  }

  test.each(["write", "datasync"] as const)(
    "a failed %s fails its append and all that follow, those that wait already too",
    async (method) => {
      const journal = await FileJournal.open(path);
      await recordsOf(journal);
      await journal.append(RECORDS.slice(0, 1));
      const waiting: Promise<void>[] = [];
      await failNext(method, () => waiting.push(journal.append(['{"waits":1}'])));
      await expect(journal.append(RECORDS.slice(1, 2))).rejects.toThrow(
        "[unreachable] cannot append to the journal (ENOSPC): the disk is full, make room",
      );
      await expect(waiting[0]).rejects.toThrow(/ENOSPC/);
      await expect(journal.append(RECORDS.slice(2))).rejects.toThrow(/ENOSPC/);
      await expect(journal.snapshot(["x"])).rejects.toThrow(/ENOSPC/);
      expect(journal.head().number).toBe(1);
      await journal.close();
      expect(await reopened()).toEqual(RECORDS.slice(0, 1));
    },
  );

  test("a snapshot that finds no room fails alone", async () => {
    const journal = await FileJournal.open(path);
    await recordsOf(journal);
    await journal.append(RECORDS.slice(0, 1));
    await failNext("write");
    await expect(journal.snapshot(["x"])).rejects.toThrow(/snapshot.*the disk is full/);
    await journal.append(RECORDS.slice(1));
    await journal.close();
    expect(await reopened()).toEqual(RECORDS);
    expect((await readdir(path)).filter((name) => /snap|tmp/.test(name))).toEqual([]);
  });
});

test("appends of one turn share one sync", async () => {
  const journal = await FileJournal.open(path);
  await recordsOf(journal);
  const order: string[] = [];
  const appends = RECORDS.map((record) => journal.append([record]).then(() => order.push(record)));
  await appends[0];
  // One write for all: when the first resolves, the bytes of all of them are in the file.
  expect((await readFile(segment(), "utf8")).split("\n")).toHaveLength(RECORDS.length + 2);
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
  await mkdir(path);
  await writeFile(join(path, "lock"), JSON.stringify({ pid, started: null, token: "dead" }));
  await write(RECORDS);
  expect(await reopened()).toEqual(RECORDS);
  expect(await readdir(path)).toEqual([basename(segment())]);
});

test.runIf(process.platform === "linux")(
  "the lock of a dead process whose id was given out again is taken over",
  async () => {
    const lock = { pid: process.pid, started: "1", token: "dead" };
    await mkdir(path);
    await writeFile(join(path, "lock"), JSON.stringify(lock));
    expect(await reopened()).toEqual([]);
  },
);

test("of ten that want a dead process's lock at once, one gets it", async () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  await mkdir(path);
  await writeFile(join(path, "lock"), JSON.stringify({ pid, started: null, token: "dead" }));
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 }, () => FileJournal.open(path)),
  );
  const opened = outcomes.filter((outcome) => outcome.status === "fulfilled");
  expect(opened).toHaveLength(1);
  for (const { value } of opened) await value.close();
});

test("a damaged lock is named, not guessed about", async () => {
  await mkdir(path);
  await writeFile(join(path, "lock"), "{");
  await expect(FileJournal.open(path)).rejects.toThrow(/lock .*farm\/lock is damaged/);
});

test("a folder that is missing is an error with the path", async () => {
  await expect(FileJournal.open(join(folder, "no", "farm"))).rejects.toThrow(
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
      await mkdir(path);
      await writeFile(join(path, "lock"), JSON.stringify({ pid, started: null, token: "dead" }));
      expect(await reopened()).toEqual([]);
    } finally {
      parent.kill("SIGKILL");
    }
  },
);
