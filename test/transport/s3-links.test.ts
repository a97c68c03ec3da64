/** What each user of a farm may do at a real S3, and links to finished files. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { S3BlobStore, S3BlobStoreParts } from "../../shared/adapters/s3/s3-blob-store.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { TcpProxy } from "../farm/tcp-proxy.js";
import { TestS3Server } from "../servers/s3-server.js";
import { openStore, S3_ROLES, serversAtHand } from "./s3-stores.js";

const kinds = await serversAtHand();
const bytes = randomBytes(300_000);
/** The least that an S3 takes as a part. */
const PART_BYTES = 5 * 1_024 * 1_024;

describe.each(kinds)("links of %s", (kind) => {
  let server: TestS3Server;
  /** Where browsers reach the store; we reach it elsewhere. */
  let door: TcpProxy;
  let store: S3BlobStore;
  let ref: BlobRef;
  beforeAll(async () => {
    server = await TestS3Server.start(kind, { identities: S3_ROLES });
    door = await TcpProxy.start(server.address);
    const publicEndpoint = `http://${door.address}`;
    store = await openStore(server, {
      ...{
        location: { ...server.location(), publicEndpoint },
        signer: server.credentials("signer"),
      },
      credentials: server.credentials("coordinator"),
    });
    ref = await store.put("v1/j/0/out-1/clip.mp4", bytes);
  });
  afterAll(async () => {
    store?.close();
    await door?.stop();
    await server?.stop();
  });

  test("a link reads the file as a download, at the public endpoint, without a key", async () => {
    const link = await store.link!(ref.key, "clip.mp4", 300);
    expect(new URL(link).host).toBe(door.address);
    const answer = await fetch(link);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-disposition")).toBe('attachment; filename="clip.mp4"');
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
    const part = await fetch(link, { headers: { range: "bytes=10-19" } });
    expect(part.status).toBe(206);
    expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20))).toBe(true);
  });

  test("a link is good for its own file and for reading alone", async () => {
    await store.put("v1/j/0/out-1/other.mp4", randomBytes(100));
    const link = await store.link!(ref.key, "clip.mp4", 300);
    const other = await fetch(link.replace("/clip.mp4?", "/other.mp4?"));
    expect(other.status).toBe(403);
    const renamed = await fetch(link.replace("filename%3D%22clip", "filename%3D%22evil"));
    expect(renamed.status).toBe(403);
    for (const method of ["PUT", "DELETE"]) {
      const body = method === "PUT" ? "mine" : null;
      expect((await fetch(link, { method, body })).status).toBe(403);
    }
    expect(Buffer.from(await store.get(ref)).equals(bytes)).toBe(true);
    expect(await store.remove("v1/j/0/out-1/other.mp4")).toBe(true);
  });

  test("a link ends with its time", async () => {
    const link = await store.link!(ref.key, "clip.mp4", 1);
    await vi.waitFor(async () => expect((await fetch(link)).status).toBe(403), {
      ...{ timeout: 20_000, interval: 250 },
    });
  });

  test.each([
    ["a key that leaves the store", "../x", "clip.mp4", 300, /not a key|key/],
    ["more than five minutes", "a", "clip.mp4", 301, /1 to 300 s, not 301/],
    ["no time at all", "a", "clip.mp4", 0, /1 to 300 s, not 0/],
    ["a name that breaks out of its header", "a", 'a"; x="b', 300, /is no file name/],
  ])("%s is refused", async (_what, key, fileName, seconds, text) => {
    await expect(store.link!(key, fileName, seconds)).rejects.toMatchObject({
      ...{ code: "invalid-argument", detail: expect.stringMatching(text) },
    });
  });

  test("a store without a signer has no links", async () => {
    const plain = await openStore(server, { role: "uses" });
    expect(plain.link).toBeUndefined();
    plain.close();
  });
});

describe.each(kinds)("users of %s", (kind) => {
  let server: TestS3Server;
  beforeAll(async () => {
    server = await TestS3Server.start(kind, { identities: S3_ROLES });
  });
  afterAll(() => server?.stop());

  const openAs = (role: string, more: Partial<S3BlobStoreParts> = {}) =>
    openStore(server, { credentials: server.credentials(role), role: "uses", ...more });

  test("a coordinator reads, lists, writes, publishes and removes in its farm", async () => {
    const coordinator = await openAs("coordinator", { role: "publishes" });
    const ref = await coordinator.put("v1/inputs/picture", bytes);
    expect(Buffer.from(await coordinator.get(ref)).equals(bytes)).toBe(true);
    expect(await coordinator.putIfAbsent("v1/j/0/manifest-1.json", bytes)).toBe("created");
    expect(await coordinator.putIfAbsent("v1/j/0/manifest-1.json", bytes)).toBe("exists");
    const keys: string[] = [];
    for await (const { key } of coordinator.list("v1/")) keys.push(key);
    expect(keys).toEqual(["v1/inputs/picture", "v1/j/0/manifest-1.json"]);
    for (const key of keys) expect(await coordinator.remove(key)).toBe(true);
    coordinator.close();
  });

  test("a node reads and writes blobs of its farm, in one piece and in parts", async () => {
    const node = await openAs("node", { partBytes: PART_BYTES });
    for (const content of [bytes, randomBytes(PART_BYTES + 1_000)]) {
      const ref = await node.put("v1/j/0/latents", content);
      expect(Buffer.from(await node.get(ref)).equals(content)).toBe(true);
    }
    node.close();
  });

  test.each(["coordinator", "node"])(
    "%s is refused outside its farm, at the start",
    async (role) => {
      const location = server.location(server.address, "other-farm");
      await expect(openAs(role, { location })).rejects.toMatchObject({
        ...{ code: "invalid-argument", detail: expect.stringContaining("AccessDenied") },
      });
    },
  );

  test("who signs links can neither list nor write", async () => {
    await expect(openAs("signer")).rejects.toMatchObject({
      ...{ code: "invalid-argument", detail: expect.stringContaining("AccessDenied") },
    });
  });
});

/** SeaweedFS knows no right to put without that to remove, and no folder in the midst of a name. */
describe.runIf(kinds.includes("minio"))("users of minio, who have policies", () => {
  let server: TestS3Server;
  let store: S3BlobStore;
  let ref: BlobRef;
  beforeAll(async () => {
    server = await TestS3Server.start("minio", { identities: S3_ROLES });
    const credentials = server.credentials("coordinator");
    store = await openStore(server, { credentials, signer: server.credentials("signer") });
    ref = await store.put("v1/j/0/latents-1", bytes);
  });
  afterAll(async () => {
    store?.close();
    await server?.stop();
  });

  test("a node can remove nothing", async () => {
    const node = await openStore(server, {
      ...{ credentials: server.credentials("node"), role: "uses" },
    });
    await expect(node.remove(ref.key)).rejects.toThrow(/403 AccessDenied/);
    expect(Buffer.from(await store.get(ref)).equals(bytes)).toBe(true);
    node.close();
  });

  test("a node can neither read nor change what the coordinator keeps of its journal", async () => {
    const snapshot = await store.put("journal/farm/snapshot", bytes);
    const node = await openStore(server, {
      ...{ credentials: server.credentials("node"), role: "uses" },
    });
    await expect(node.get(snapshot)).rejects.toThrow(/403 AccessDenied/);
    await expect(node.put(snapshot.key, randomBytes(10))).rejects.toThrow(/403 AccessDenied/);
    expect(Buffer.from(await store.get(snapshot)).equals(bytes)).toBe(true);
    node.close();
  });

  test("a link reads finished files alone: one to latents is refused by the store", async () => {
    const clip = await store.put("v1/j/0/out-1/clip.mp4", bytes);
    expect((await fetch(await store.link!(clip.key, "clip.mp4", 300))).status).toBe(200);
    expect((await fetch(await store.link!(ref.key, "clip.mp4", 300))).status).toBe(403);
  });

  test("a key pair that is temporary is worth nothing without its token", async () => {
    const credentials = { ...server.credentials("coordinator"), sessionToken: null };
    await expect(openStore(server, { credentials })).rejects.toMatchObject({
      code: "invalid-argument",
    });
  });

  test("users are what they were after kill -9 and restart of the store", async () => {
    await server.kill("SIGKILL");
    await server.run();
    expect(Buffer.from(await store.get(ref)).equals(bytes)).toBe(true);
    const node = await openStore(server, {
      ...{ credentials: server.credentials("node"), role: "uses" },
    });
    await expect(node.remove(ref.key)).rejects.toThrow(/403 AccessDenied/);
    node.close();
  });
});
