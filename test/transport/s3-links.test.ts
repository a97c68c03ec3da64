/** What each user of a farm may do at a real S3, and links to finished files. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { S3BlobStore } from "../../shared/adapters/s3/s3-blob-store.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { TcpProxy } from "../farm/tcp-proxy.js";
import { TestS3Server } from "../servers/s3-server.js";
import { openStore, S3_ROLES, serversAtHand } from "./s3-stores.js";

const kinds = await serversAtHand();
const bytes = randomBytes(300_000);

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
    ref = await store.put("v1/j/0/out/clip.mp4", bytes);
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
    await store.put("v1/j/0/out/other.mp4", randomBytes(100));
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
    expect(await store.remove("v1/j/0/out/other.mp4")).toBe(true);
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

/** MinIO's users would take its own program to make; SeaweedFS's lie in a file. */
describe.runIf(kinds.includes("seaweedfs"))("users of seaweedfs", () => {
  let server: TestS3Server;
  beforeAll(async () => {
    server = await TestS3Server.start("seaweedfs", { identities: S3_ROLES });
  });
  afterAll(() => server?.stop());

  test("a node reads and writes blobs of its farm", async () => {
    const node = await openStore(server, {
      ...{ credentials: server.credentials("node"), role: "uses" },
    });
    const ref = await node.put("v1/j/0/latents", bytes);
    expect(Buffer.from(await node.get(ref)).equals(bytes)).toBe(true);
    node.close();
  });

  test.each(["coordinator", "node"])(
    "%s is refused outside its farm, at the start",
    async (role) => {
      const location = server.location(server.address, "other-farm");
      const credentials = server.credentials(role);
      await expect(
        openStore(server, { location, credentials, role: "uses" }),
      ).rejects.toMatchObject({
        ...{ code: "invalid-argument", detail: expect.stringContaining("AccessDenied") },
      });
    },
  );

  test("who signs links can neither list nor write", async () => {
    const credentials = server.credentials("signer");
    await expect(openStore(server, { credentials, role: "uses" })).rejects.toMatchObject({
      ...{ code: "invalid-argument", detail: expect.stringContaining("AccessDenied") },
    });
  });
});
