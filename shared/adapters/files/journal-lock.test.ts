/** Who may have a journal open: one process at a time, and the heirs of the dead. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileJournal } from "./file-journal.js";

let folder: string;
/** The journal's folder. */
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "journal-"));
  path = join(folder, "farm");
});
afterEach(() => rm(folder, { recursive: true }));

async function reopened(): Promise<string[]> {
  const journal = await FileJournal.open(path);
  const records: string[] = [];
  for await (const record of journal.read(null)) records.push(record);
  await journal.close();
  return records;
}

test("a second journal on the same file is refused by the name of the process", async () => {
  const journal = await FileJournal.open(path);
  await expect(FileJournal.open(path)).rejects.toThrow(new RegExp(`process ${process.pid}`));
  await journal.close();
});

test("the lock of a dead process is taken over, and no file of the take-over stays", async () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  await mkdir(path);
  await writeFile(join(path, "lock"), JSON.stringify({ pid, started: null, token: "dead" }));
  await reopened();
  expect(await reopened()).toEqual([]);
  expect(await readdir(path)).toEqual(["journal-0000000000000001.log"]);
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
