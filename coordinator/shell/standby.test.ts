/** A standby that followed takes over with the farm of whoever reads the journal from its start. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { systemClock } from "../../shared/adapters/clock/system-clock.js";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import { JetStreamJournal } from "../../shared/adapters/nats/jetstream-journal.js";
import { JetStreamTail } from "../../shared/adapters/nats/jetstream-tail.js";
import type { NatsClient } from "../../shared/adapters/nats/nats-client.js";
import { NatsLease } from "../../shared/adapters/nats/nats-lease.js";
import { FarmError } from "../../shared/core/errors.js";
import { type Log, silentLog } from "../../shared/ports/log.js";
import { natsServerPath, TEST_FARM, TestNatsServer } from "../../test/servers/nats-server.js";
import type { FarmEvent } from "../plan/events.js";
import { encodeEvent } from "./event-codec.js";
import { recoverFarm, snapshotLines } from "./recover.js";
import { type Followed, Standby } from "./standby.js";

const event = (atMs: number): string => {
  const started: FarmEvent = { kind: "farm-started", atMs };
  return encodeEvent(started);
};
const events = (count: number) => Array.from({ length: count }, (_, i) => event(i));

describe.runIf(natsServerPath)("a standby", () => {
  let server: TestNatsServer;
  let folder: string;
  let blobs: FileBlobStore;
  const clients: NatsClient[] = [];
  let standby: Standby<JetStreamTail> | null = null;
  beforeEach(async () => {
    server = await TestNatsServer.start();
    folder = await mkdtemp(join(tmpdir(), "standby-"));
    blobs = await FileBlobStore.open(folder);
  });
  afterEach(async () => {
    await standby?.stop();
    standby = null;
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await server.close();
    await rm(folder, { recursive: true });
  });

  async function parts() {
    const client = await server.connect("coordinator");
    clients.push(client);
    return { client, names: TEST_FARM, clock: systemClock, log: silentLog, blobs };
  }

  /** A journal whose records were read, or are yet to be. */
  async function lead(followed: Followed<JetStreamTail> | null = null): Promise<JetStreamJournal> {
    const with_ = await parts();
    const lease = await NatsLease.take({ ...with_, holder: "test", leaseMs: 60_000 });
    if (!(lease instanceof NatsLease)) throw new Error(`led by ${lease.heldBy}`);
    return JetStreamJournal.open({ ...with_, lease, followed: followed?.tail.reading ?? null });
  }

  async function follow(openTail?: () => Promise<JetStreamTail>): Promise<Standby<JetStreamTail>> {
    const with_ = await parts();
    standby = new Standby({ ...with_, openTail: openTail ?? (() => JetStreamTail.open(with_)) });
    return standby;
  }

  /** Takes over from a leader that has stopped, and says what it read. */
  async function takeOver(following: Standby<JetStreamTail>) {
    const followed = await following.stop();
    const journal = await lead(followed);
    const said: string[] = [];
    const log: Log = { ...silentLog, info: (text) => said.push(String(text)) };
    const recovered = await recoverFarm(journal, log, followed);
    return { journal, recovered, said };
  }

  test("takes over with what it followed, and reads only what came last", async () => {
    const leader = await lead();
    await recoverFarm(leader, silentLog);
    await leader.append(events(50));
    const following = await follow();
    await following.reached(50);
    await leader.append(events(30));
    await following.reached(80);
    await leader.close();

    const { journal, recovered, said } = await takeOver(following);
    expect(said).toEqual([
      "the farm is here: the journal was followed, and 0 records were left to read",
    ]);
    await journal.append(events(1));
    expect(journal.head().number).toBe(81);
    await journal.close();
    const again = await lead();
    const { farm } = await recoverFarm(again, silentLog);
    expect([...snapshotLines(recovered.farm)]).toEqual([...snapshotLines(farm)]);
    expect(again.head().number).toBe(81);
    await again.close();
  });

  test("begins at the newest snapshot, and leaves those of the leader in place", async () => {
    const leader = await lead();
    const { farm } = await recoverFarm(leader, silentLog);
    await leader.append(events(20));
    await leader.snapshot(snapshotLines(farm));
    await leader.append(events(20));
    await leader.snapshot(snapshotLines(farm));
    await leader.append(events(5));
    const following = await follow();
    await following.reached(45);
    await leader.close();

    const { journal, recovered } = await takeOver(following);
    expect(recovered.replayed).toBe(5);
    await journal.snapshot(snapshotLines(recovered.farm));
    const kept = await journal.snapshots();
    expect(kept.map(({ head }) => head.number)).toEqual([45, 40, 20]);
    await journal.close();
  });

  test("that could not follow reads the journal as any start does", async () => {
    const leader = await lead();
    await recoverFarm(leader, silentLog);
    await leader.append(events(10));
    const refused = () => Promise.reject(new FarmError("unreachable", "no such luck"));
    const following = await follow(refused);
    await leader.close();
    const { journal, said } = await takeOver(following);
    expect(said).toEqual(["the farm is back: from the first record, and 10 records after it"]);
    await journal.close();
  });

  test("follows on after its server was killed and came back", async () => {
    const leader = await lead();
    await recoverFarm(leader, silentLog);
    await leader.append(events(10));
    const following = await follow();
    await following.reached(10);
    await server.kill();
    await server.run();
    await leader.append(events(10));
    await following.reached(20);
    await leader.close();
    const { journal } = await takeOver(following);
    expect(journal.head().number).toBe(20);
    await journal.close();
  });
});

test("a standby that fails begins anew a second later", async () => {
  const clock = new ManualClock();
  let opened = 0;
  const openTail = () => {
    opened += 1;
    return Promise.reject(new FarmError("unreachable", "away"));
  };
  const standby = new Standby({ openTail, clock, log: silentLog });
  while (clock.pendingCount === 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(1_000);
  while (opened < 2) await new Promise((resolve) => setImmediate(resolve));
  expect(await standby.stop()).toBeNull();
});
