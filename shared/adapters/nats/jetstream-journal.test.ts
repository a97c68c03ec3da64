import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, test } from "vitest";
import { natsServerPath, TEST_FARM, TestNatsServer } from "../../../test/servers/nats-server.js";
import { journalContract } from "../../ports/journal.contract.js";
import { silentLog } from "../../ports/log.js";
import { systemClock } from "../clock/system-clock.js";
import { FileBlobStore } from "../files/file-blob-store.js";
import { JetStreamJournal } from "./jetstream-journal.js";
import type { NatsClient } from "./nats-client.js";
import { leaseHeld, NatsLease } from "./nats-lease.js";

describe.runIf(natsServerPath)("JetStreamJournal", () => {
  let server: TestNatsServer;
  let folder: string;
  const clients: NatsClient[] = [];
  beforeAll(async () => {
    const farms = journalContract.map((_, i) => ({ ...TEST_FARM, farm: `contract-${i + 1}` }));
    server = await TestNatsServer.start({ farms });
  });
  afterAll(() => server.close());

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "journal-"));
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await rm(folder, { recursive: true });
  });

  let count = 0;
  async function open(farm: string): Promise<JetStreamJournal> {
    const names = { ...TEST_FARM, farm };
    const client = await server.connect("coordinator");
    clients.push(client);
    const blobs = await FileBlobStore.open(folder);
    const parts = { client, names, clock: systemClock, log: silentLog };
    const lease = await NatsLease.take({ ...parts, holder: "test" });
    if (!(lease instanceof NatsLease)) throw leaseHeld(names, lease.heldBy);
    return JetStreamJournal.open({ ...parts, blobs, lease, limits: { bytesMax: 16_777_216 } });
  }

  test.each(journalContract)("%s", async (_name, check) => {
    count += 1;
    await check({ open: () => open(`contract-${count}`) });
  });
});
