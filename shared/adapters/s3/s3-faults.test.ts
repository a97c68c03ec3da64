/** What an S3 store does when its server misbehaves, against a server that does so as told. */
import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StubS3 } from "../../../test/servers/stub-s3.js";
import { silentLog } from "../../ports/log.js";
import { S3BlobStore } from "./s3-blob-store.js";
import { CALL_LIMITS_DEFAULT } from "./s3-calls.js";

const bytes = Buffer.from("hello, object");
const limits = { ...CALL_LIMITS_DEFAULT, answerMsMax: 300, pauseMsMin: 5, pauseMsMax: 20 };
const keys = { kind: "keys", accessKey: "a", secretKey: "s", sessionToken: null } as const;
let stub: StubS3;
let store: S3BlobStore;

function open(role: "publishes" | "uses"): Promise<S3BlobStore> {
  return S3BlobStore.open({
    location: stub.location(),
    ...{ credentials: keys, log: silentLog, role, limits },
  });
}

beforeEach(async () => {
  stub = await StubS3.start();
  store = await open("uses");
  stub.requestCount = 0;
});
afterEach(async () => {
  store.close();
  await stub.stop();
});

const refOf = (key: string, content: Uint8Array) => ({
  ...{ key, size: content.length },
  sha256: createHash("sha256").update(content).digest("hex"),
});

test("a store that ignores If-None-Match is refused by who publishes, with a reason", async () => {
  stub.isConditional = false;
  await expect(open("publishes")).rejects.toMatchObject({
    code: "invalid-argument",
    detail: expect.stringMatching(/ignores "If-None-Match: \*" \(of 8 puts of one object 8 won/),
  });
  expect([...stub.objects.keys()]).toEqual([]);
});

test("a store that does not know If-None-Match is refused", async () => {
  stub.rule = ({ method }) =>
    method === "PUT" ? { kind: "error", status: 501, code: "NotImplemented" } : null;
  await expect(open("publishes")).rejects.toMatchObject({
    code: "invalid-argument",
    detail: expect.stringContaining("does not know"),
  });
});

test.each([
  [403, "SignatureDoesNotMatch", /key pair/],
  [404, "NoSuchBucket", /no such bucket/],
  [403, "RequestTimeTooSkewed", /clock/],
])("%i %s at the start says what to put right", async (status, code, text) => {
  stub.rule = () => ({ kind: "error", status, code });
  await expect(open("uses")).rejects.toMatchObject({
    code: "invalid-argument",
    detail: expect.stringMatching(text),
  });
});

test.each([500, 503, 429])("a %i passes when a later try succeeds", async (status) => {
  stub.rule = ({ count }) => (count < 4 ? { kind: "error", status, code: "SlowDown" } : null);
  await store.put("a", bytes);
  expect(stub.requestCount).toBe(4);
});

test("a storm of 503 ends in unreachable after four tries, then at once", async () => {
  stub.rule = () => ({ kind: "error", status: 503, code: "SlowDown" });
  await expect(store.put("a", bytes)).rejects.toMatchObject({ code: "unreachable" });
  expect(stub.requestCount).toBe(4);
  await expect(store.put("a", bytes)).rejects.toMatchObject({ code: "unreachable" });
  expect(stub.requestCount).toBe(limits.failuresMax);
  await expect(store.get(refOf("a", bytes))).rejects.toMatchObject({
    code: "unreachable",
    detail: expect.stringContaining("circuit-open"),
  });
  expect(stub.requestCount).toBe(limits.failuresMax);
});

test("a full store is unreachable with that reason, and not asked again", async () => {
  stub.rule = () => ({ kind: "error", status: 507, code: "XMinioStorageFull" });
  await expect(store.put("a", bytes)).rejects.toMatchObject({
    code: "unreachable",
    detail: expect.stringContaining("full, make room"),
  });
  expect(stub.requestCount).toBe(1);
});

test("a server that never answers is given up at the deadline, each try anew", async () => {
  stub.rule = () => ({ kind: "silence" });
  await expect(store.get(refOf("a", bytes))).rejects.toMatchObject({
    code: "unreachable",
    detail: expect.stringContaining("no answer in time"),
  });
  expect(stub.requestCount).toBe(4);
});

test("a put whose answer was lost is known for our own", async () => {
  stub.rule = ({ method, count }) =>
    method === "PUT" && count === 1 ? { kind: "lost-answer" } : null;
  expect(await store.putIfAbsent("a", bytes)).toBe("created");
  expect(await store.putIfAbsent("a", bytes)).toBe("exists");
});

test("a put whose answers were all lost is known for our own", async () => {
  stub.rule = ({ method }) => (method === "PUT" ? { kind: "lost-answer" } : null);
  expect(await store.putIfAbsent("a", bytes)).toBe("created");
});

test("a put that may or may not have come, where another's is there, exists", async () => {
  await store.put("a", Buffer.from("other"));
  stub.rule = ({ method, count }) => (method === "PUT" && count === 2 ? { kind: "silence" } : null);
  expect(await store.putIfAbsent("a", bytes)).toBe("exists");
});

test("a read goes on from the byte where the connection broke", async () => {
  const large = Buffer.alloc(300_000, 7);
  const ref = await store.put("a", large);
  stub.requestCount = 0;
  stub.rule = ({ count }) => (count < 3 ? { kind: "cut-body", bytes: 100_000 } : null);
  expect(Buffer.from(await store.get(ref)).equals(large)).toBe(true);
  expect(stub.requestCount).toBe(3);
});

test("an object of which no byte comes any more, while all else does, is corrupt", async () => {
  const ref = await store.put("a", bytes);
  stub.rule = ({ name }) => (name === "p/a" ? { kind: "cut-body", bytes: 0 } : null);
  await expect(store.get(ref)).rejects.toMatchObject({ code: "blob-corrupt" });
  stub.rule = ({ count }) => (count % 2 ? { kind: "silence" } : { kind: "cut-body", bytes: 0 });
  await expect(store.get(ref)).rejects.toMatchObject({ code: "unreachable" });
});

test("a bit that turned over on the way is read again; one in the store is corrupt", async () => {
  const ref = await store.put("a", bytes);
  stub.requestCount = 0;
  stub.rule = ({ count }) => (count === 1 ? { kind: "flipped-body", at: 3 } : null);
  expect(Buffer.from(await store.get(ref))).toEqual(bytes);
  stub.rule = () => ({ kind: "flipped-body", at: 3 });
  await expect(store.get(ref)).rejects.toMatchObject({ code: "blob-corrupt" });
});

test("an object that the server cannot read while it answers all else is corrupt", async () => {
  const ref = await store.put("a", bytes);
  stub.rule = ({ name }) => (name === "p/a" ? { kind: "error", status: 503, code: "X" } : null);
  await expect(store.get(ref)).rejects.toMatchObject({
    code: "blob-corrupt",
    detail: expect.stringContaining("fails for it (503) and for nothing else"),
  });
});

test("an object of another length is corrupt before a byte of it is used", async () => {
  await store.put("a", Buffer.from("more bytes than hello, object"));
  await expect(store.get(refOf("a", bytes))).rejects.toMatchObject({ code: "blob-corrupt" });
  expect(stub.requestCount).toBe(3);
});

test("a listing of many pages names every key once", async () => {
  const wanted = Array.from({ length: 2_345 }, (_, i) => `v1/x-${String(i).padStart(4, "0")}`);
  for (const key of wanted) stub.objects.set(`p/${key}`, { bytes, metadata: {} });
  const found: string[] = [];
  for await (const { key } of store.list("v1/")) found.push(key);
  expect(found).toEqual(wanted);
});
