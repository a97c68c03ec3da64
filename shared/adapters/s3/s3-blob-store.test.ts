/** The whole contract of a BlobStore against real S3 servers. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type S3ServerKind, TestS3Server } from "../../../test/servers/s3-server.js";
import { serverPath } from "../../../test/servers/server-path.js";
import { blobStoreContract } from "../../ports/blob-store.contract.js";
import { silentLog } from "../../ports/log.js";
import { S3BlobStore, type S3BlobStoreParts } from "./s3-blob-store.js";

const KINDS: S3ServerKind[] = ["minio", "seaweedfs"];
const programs = new Map(
  await Promise.all(KINDS.map(async (kind) => [kind, await serverPath(kind)] as const)),
);

describe.each(KINDS.filter((kind) => programs.get(kind) !== null))("S3BlobStore on %s", (kind) => {
  let server: TestS3Server;
  beforeAll(async () => {
    server = await TestS3Server.start(kind);
  });
  afterAll(() => server.stop());

  /** A fresh store: a prefix of its own. */
  const open = (role: S3BlobStoreParts["role"]) =>
    S3BlobStore.open({
      location: server.location(server.address, `farm/${randomUUID()}`),
      ...{ credentials: server.credentials(), log: silentLog, role },
    });

  test.each(blobStoreContract)("%s", async (_name, check) => {
    // Who publishes has eight racers for a key first, which cost SeaweedFS seconds; once will do, below.
    const store = await open("uses");
    try {
      await check(store);
    } finally {
      store.close();
    }
  });

  test("an empty store lists nothing, and so do the probes of its start", async () => {
    const store = await open("publishes");
    const keys = [];
    for await (const { key } of store.list("")) keys.push(key);
    expect(keys).toEqual([]);
  });
});
