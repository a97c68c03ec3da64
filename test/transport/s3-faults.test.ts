/**
 * Real S3 servers that are killed, stopped, cut off, slowed down, filled and damaged: nothing that
 * was acknowledged is lost, nothing half is seen, nothing waits without a deadline.
 */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { S3BlobStore } from "../../shared/adapters/s3/s3-blob-store.js";
import { CALL_LIMITS_DEFAULT } from "../../shared/adapters/s3/s3-calls.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { TcpProxy } from "../farm/tcp-proxy.js";
import { TestS3Server } from "../servers/s3-server.js";
import { damageOnDisk, openStore, SOON, serversAtHand } from "./s3-stores.js";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const kinds = await serversAtHand();

describe.each(kinds)("%s", (kind) => {
  let server: TestS3Server;
  let proxy: TcpProxy;
  let store: S3BlobStore;
  beforeAll(async () => {
    server = await TestS3Server.start(kind);
    proxy = await TcpProxy.start(server.address);
  });
  beforeEach(async () => {
    const location = server.location(proxy.address);
    store = await openStore(server, { location, role: "uses", limits: SOON });
  });
  afterEach(async () => {
    store.close();
    proxy.heal();
    server.signal("SIGCONT");
    if (!server.isRunning) await server.run();
  });
  afterAll(async () => {
    await proxy.stop();
    await server.stop();
  });

  /** A server that was away is asked again by one call at a time; one of them finds it. */
  const untilBack = (ref: BlobRef) =>
    vi.waitFor(() => store.get(ref), { timeout: 30_000, interval: 200 });

  test("kill -9 under load: what was acknowledged is there, all else is whole or absent", async () => {
    const contents = Array.from({ length: 60 }, () => randomBytes(40_000));
    const refs = contents.map((bytes, i) => ({
      ...{ key: `kill/${i}`, size: bytes.length },
      sha256: sha256(bytes),
    }));
    const acknowledged: BlobRef[] = [];
    let killed: Promise<void> = Promise.resolve();
    const putAll = refs.map(async (_, i) => {
      acknowledged.push(await store.put(`kill/${i}`, contents[i]!));
      if (acknowledged.length === 20) killed = server.kill("SIGKILL");
    });
    const outcomes = await Promise.allSettled(putAll);
    await killed;
    const failures = outcomes.flatMap((o) => (o.status === "rejected" ? [o.reason as Error] : []));
    for (const error of failures) expect(error).toMatchObject({ code: "unreachable" });
    expect(acknowledged.length).toBeGreaterThanOrEqual(20);

    // Gone: after a few tries it is not even dialled for a while.
    await vi.waitFor(() =>
      expect(store.get(refs[0]!)).rejects.toMatchObject({
        code: "unreachable",
        detail: expect.stringContaining("circuit-open"),
      }),
    );
    await server.run();
    await untilBack(acknowledged[0]!);
    for (const ref of acknowledged) await store.get(ref);
    for (const ref of refs) {
      const outcome = await store.get(ref).then(
        () => "whole",
        (error: { code: string }) => error.code,
      );
      expect(["whole", "blob-missing"]).toContain(outcome);
    }
  });

  test("a server that stands still is given up at the deadline, and found again", async () => {
    const ref = await store.put("still", randomBytes(100));
    server.signal("SIGSTOP");
    // The signal takes a moment to stop all of its threads.
    await vi.waitFor(() => expect(store.get(ref)).rejects.toMatchObject({ code: "unreachable" }), {
      timeout: 10_000,
    });
    server.signal("SIGCONT");
    await untilBack(ref);
  });

  test("a black hole is given up at the deadline", async () => {
    const ref = await store.put("hole", randomBytes(100));
    proxy.setBoth({ kind: "timeout" });
    await expect(store.get(ref)).rejects.toMatchObject({ code: "unreachable" });
    proxy.heal();
    await untilBack(ref);
  });

  test("1 KB/s is given up, for puts and for gets", async () => {
    const ref = await store.put("slow", randomBytes(200_000));
    proxy.setBoth({ kind: "bandwidth", bytesPerS: 1_000 });
    await expect(store.get(ref)).rejects.toMatchObject({ code: "unreachable" });
    await expect(store.put("slow-2", randomBytes(200_000))).rejects.toMatchObject({
      code: "unreachable",
    });
    proxy.heal();
    await untilBack(ref);
  });

  test("a bit that turned over on the way is read again", async () => {
    const ref = await store.put("flip", randomBytes(50_000));
    const hit = proxy.hit("flip_bit").then(() => proxy.heal());
    proxy.set("down", { kind: "flip_bit", atByte: 20_000 });
    // A fresh connection, so that the byte lies in the body of this answer.
    const fresh = await openStore(server, {
      ...{ location: server.location(proxy.address), role: "uses", limits: SOON },
    });
    const bytes = await fresh.get(ref);
    fresh.close();
    await hit;
    expect(sha256(bytes)).toBe(ref.sha256);
  });

  test("a bit that turned over on the server's disk is blob-corrupt", async () => {
    const bytes = randomBytes(3_000);
    // SeaweedFS looks for another copy for some seconds before it says so, at every try.
    const limits = { ...CALL_LIMITS_DEFAULT, triesMax: 1 };
    const patient = await openStore(server, { role: "uses", limits });
    const ref = await patient.put(`damaged/${randomUUID()}`, bytes);
    expect(damageOnDisk(server.dataFolder, bytes.subarray(100, 200))).toBeGreaterThan(0);
    await expect(patient.get(ref)).rejects.toMatchObject({ code: "blob-corrupt" });
    patient.close();
  });

  test("twenty publishers race for one manifest, again and again: one wins, and the store has its bytes", async () => {
    // SeaweedFS lets racers wait for a lock, a second at a time.
    const rounds = kind === "seaweedfs" ? 3 : 20;
    const open = () => openStore(server, { role: "uses" });
    const stores = await Promise.all([open(), open()]);
    for (let round = 0; round < rounds; round++) {
      const key = `v1/race/${round}/manifest-1.json`;
      const texts = Array.from({ length: 20 }, (_, i) => Buffer.from(`publisher ${i}`));
      const outcomes = await Promise.all(
        texts.map((text, i) => stores[i % 2]!.putIfAbsent(key, text)),
      );
      const winners = outcomes.flatMap((outcome, i) => (outcome === "created" ? [i] : []));
      expect(winners).toHaveLength(1);
      const text = texts[winners[0]!]!;
      await stores[0]!.get({ key, size: text.length, sha256: sha256(text) });
    }
    for (const each of stores) each.close();
  });

  test("what is larger than one request goes in parts, and appears only at the end", async () => {
    const large = await openStore(server, { partBytes: 5 * 1024 * 1024 });
    const bytes = randomBytes(12 * 1024 * 1024);
    async function* pieces(failing: boolean) {
      for (let at = 0; at < bytes.length; at += 1_000_003) yield bytes.subarray(at, at + 1_000_003);
      if (failing) throw new Error("the source went away");
    }
    const key = "parts";
    const ref = { key, size: bytes.length, sha256: sha256(bytes) };
    await expect(large.put(key, pieces(true))).rejects.toThrow("the source went away");
    await expect(large.get(ref)).rejects.toMatchObject({ code: "blob-missing" });
    expect(await large.put(key, pieces(false))).toEqual(ref);
    expect(sha256(await large.get(ref))).toBe(ref.sha256);
    large.close();
  });
});
