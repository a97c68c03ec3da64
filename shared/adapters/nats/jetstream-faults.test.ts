/** @file What a journal on JetStream does when its server is killed, full, cut, or led by another. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { natsServerPath, TEST_FARM, TestNatsServer } from "../../../test/servers/nats-server.js";
import type { FarmError } from "../../core/errors.js";
import { type Log, silentLog } from "../../ports/log.js";
import { systemClock } from "../clock/system-clock.js";
import { FileBlobStore } from "../files/file-blob-store.js";
import { encodeBatch } from "./jetstream-batch.js";
import { JetStreamJournal } from "./jetstream-journal.js";
import type { StreamLimits } from "./jetstream-log.js";
import type { NatsClient } from "./nats-client.js";
import { leaseHeld, NatsLease } from "./nats-lease.js";

const STREAM = "RF_JOURNAL_test";
const RECORDS = Array.from({ length: 20 }, (_, i) => JSON.stringify({ i, text: "x".repeat(50) }));

describe.runIf(natsServerPath)("a journal on JetStream", () => {
  let server: TestNatsServer;
  let folder: string;
  let blobs: FileBlobStore;
  const clients: NatsClient[] = [];
  beforeEach(async () => {
    server = await TestNatsServer.start();
    folder = await mkdtemp(join(tmpdir(), "journal-"));
    blobs = await FileBlobStore.open(folder);
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await server.close();
    await rm(folder, { recursive: true });
  });

  async function open(
    options: { limits?: Partial<StreamLimits>; log?: Log; leaseMs?: number } = {},
  ): Promise<JetStreamJournal> {
    const { limits = {}, log = silentLog, leaseMs = 60_000 } = options;
    const client = await server.connect("coordinator");
    clients.push(client);
    const parts = { client, names: TEST_FARM, clock: systemClock, log };
    const lease = await NatsLease.take({ ...parts, holder: "test", leaseMs });
    if (!(lease instanceof NatsLease)) throw leaseHeld(TEST_FARM, lease.heldBy);
    return JetStreamJournal.open({
      ...{ ...parts, blobs, lease },
      limits: { bytesMax: 16_777_216, ...limits },
    });
  }

  async function recordsOf(journal: JetStreamJournal): Promise<string[]> {
    const records: string[] = [];
    for await (const record of journal.read(null)) records.push(record);
    return records;
  }

  async function write(records: readonly string[]): Promise<void> {
    const journal = await open();
    await recordsOf(journal);
    for (const record of records) await journal.append([record]);
    await journal.close();
  }

  /** Opens and reads, and gives the lease back whatever happens. */
  async function reread(): Promise<string[]> {
    const journal = await open();
    try {
      return await recordsOf(journal);
    } finally {
      await journal.close();
    }
  }

  async function blockFile(): Promise<string> {
    const messages = join(server.storeDir, "jetstream", "$G", "streams", STREAM, "msgs");
    const blocks = (await readdir(messages)).filter((name) => name.endsWith(".blk"));
    return join(messages, blocks[0]!);
  }

  /** Damages what the server keeps while it is down; it may keep an index of its own beside it. */
  async function damage(change: (path: string) => Promise<void>): Promise<void> {
    await server.kill();
    await change(await blockFile());
    await server.run();
  }

  test("keeps every append that was answered, over kills of its server amid appends", async () => {
    const journal = await open();
    await recordsOf(journal);
    const answered: string[] = [];
    const appendAll = async () => {
      for (let i = 0; i < 300; i++) {
        const record = `{"i":${i}}`;
        await journal.append([record]);
        answered.push(record);
      }
    };
    const appending = appendAll();
    for (let kill = 1; kill <= 3; kill++) {
      await vi.waitFor(() => expect(answered.length).toBeGreaterThan(kill * 50), {
        timeout: 30_000,
      });
      await server.kill();
      await server.run();
    }
    await appending;
    await journal.close();
    expect(await reread()).toEqual(answered);
  });

  test("is refused when the server's store was deleted", async () => {
    await write(RECORDS);
    await server.kill();
    await rm(server.storeDir, { recursive: true });
    await server.run();
    await expect(open()).rejects.toThrow(
      /\[wrong-state\] the stream RF_JOURNAL_test is missing, but the blob store knows/,
    );
  });

  test("is refused when the store was deleted and the stream made anew by hand", async () => {
    await write(RECORDS);
    const admin = await server.connectAdmin();
    const manager = await admin.jetstreamManager();
    const { config } = await manager.streams.info(STREAM);
    await manager.streams.delete(STREAM);
    await manager.streams.add(config);
    await admin.close();
    await expect(reread()).rejects.toThrow(
      /\[wrong-state\] the stream RF_JOURNAL_test ends with record 0, but 20 were written/,
    );
  });

  test("is refused when the store was cut", async () => {
    await write(RECORDS);
    await damage(async (path) => {
      const { length } = await readFile(path);
      await truncate(path, Math.floor(length / 2));
    });
    await expect(reread()).rejects.toThrow(/\[wrong-state\] .*(RF_JOURNAL_test|record)/);
  });

  test("is refused when a bit of a record was flipped", async () => {
    await write(RECORDS);
    await damage(async (path) => {
      const bytes = await readFile(path);
      const at = bytes.indexOf('{"i":7');
      bytes[at + 20]! ^= 1;
      await writeFile(path, bytes);
    });
    await expect(reread()).rejects.toThrow(/\[wrong-state\] .*(RF_JOURNAL_test|record)/);
  });

  test("waits while the stream is full, says so, and goes on when there is room", async () => {
    const journal = await open({ limits: { bytesMax: 20_000 } });
    await recordsOf(journal);
    const record = "x".repeat(1_000);
    const appends = Array.from({ length: 30 }, () => record);
    const written = (async () => {
      for (const each of appends) await journal.append([each]);
    })();
    await vi.waitFor(() => expect(journal.stalled()).not.toBeNull(), { timeout: 30_000 });
    expect((journal.stalled() as FarmError).message).toMatch(
      /\[exhausted\] the journal's stream RF_JOURNAL_test is full .*; raise its limits/,
    );
    const admin = await server.connectAdmin();
    await (await admin.jetstreamManager()).streams.update(STREAM, { max_bytes: 1_000_000 });
    await written;
    expect(journal.stalled()).toBeNull();
    await admin.close();
    await journal.close();
    expect(await reread()).toEqual(appends);
  });

  test("breaks when another coordinator has appended, and takes nothing of it back", async () => {
    const old = await open({ leaseMs: 60_000 });
    await recordsOf(old);
    await old.append(["old"]);
    // The lease is taken from it behind its back, as a clock that runs wild would.
    const admin = await server.connectAdmin();
    await (await admin.jetstreamManager()).streams.purge("KV_RF_LEASE_test");
    await admin.close();
    const next = await open();
    expect(await recordsOf(next)).toEqual(["old"]);
    await next.append(["next"]);
    await expect(old.append(["late"])).rejects.toThrow(/another coordinator leads/);
    await expect(old.append(["later"])).rejects.toThrow(/another coordinator leads/);
    await next.append(["more"]);
    await old.close();
    await next.close();
    expect(await reread()).toEqual(["old", "next", "more"]);
  });

  test("breaks before its lease can be another's when the server is away", async () => {
    const journal = await open({ leaseMs: 2_000 });
    await recordsOf(journal);
    await server.kill();
    await expect(journal.append(["x"])).rejects.toThrow(
      /\[unreachable\] the lease is lost: it could not be renewed for 1600 ms/,
    );
    await server.run();
    await journal.close();
  });

  test("passes over an unfinished append, which nobody was answered for", async () => {
    await write(["whole"]);
    const journal = await open();
    await recordsOf(journal);
    const head = journal.head();
    await journal.close();
    const { pieces } = encodeBatch(head, ["an append in pieces"], 8);
    const admin = await server.connectAdmin();
    await admin.jetstream().publish("rf.v1.journal.test", pieces[0]!.data, {
      headers: pieces[0]!.headers,
    });
    await admin.close();
    await write(["next"]);
    expect(await reread()).toEqual(["whole", "next"]);
  });
});
