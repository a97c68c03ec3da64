/** @file What every BlobStore must do; each adapter's test runs all of it against a fresh store. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { FarmError } from "../core/errors.js";
import type { BlobRef, BlobStore } from "./blob-store.js";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const sha256Of = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const BAD_KEYS = [
  "",
  "/",
  "/etc/passwd",
  "a//b",
  "a/",
  "..",
  "../a",
  "a/../../b",
  "a/./b",
  ".tmp/a",
  "a/.hidden",
  "a\\b",
  "a\0b",
  "a b",
  "%2e%2e/a",
  "\u00e9",
  "a\n",
  "x".repeat(600),
];

/** Named checks; a check rejects when the store breaks the contract. */
export const blobStoreContract: readonly (readonly [
  name: string,
  check: (store: BlobStore) => Promise<void>,
])[] = [
  ["gives back what was put, and its reference says size and sha256", putAndGet],
  ["stores an empty blob", putNothing],
  ["stores pieces in their order", putPieces],
  ["replaces a blob by put", replace],
  ["keeps the old blob when the source of a put fails", failingSource],
  ["names exactly one winner among racers of putIfAbsent", race],
  ["says blob-missing for a key that was never put", unknownKey],
  ["says blob-corrupt when bytes are not those of the reference", wrongReference],
  ["gives no last piece before the checksum was found right", lastPiece],
  ["reads in pieces that join to the blob", readLarge],
  ["removes by prefix and says how many", removeByPrefix],
  ["refuses to remove everything", removeEverything],
  ["lists by prefix, with sizes", listByPrefix],
  ["removes one blob and no other whose key only begins alike", removeOne],
  ...BAD_KEYS.map(
    (key) => [`refuses the key ${JSON.stringify(key.slice(0, 20))}`, badKey(key)] as const,
  ),
];

async function listByPrefix(store: BlobStore): Promise<void> {
  for (const key of ["v1/a/x-1", "v1/a/x-10", "v1/b/x-1"]) await store.put(key, bytesOf(key));
  const keysOf = async (prefix: string) => {
    const keys: string[] = [];
    for await (const { key, size } of store.list(prefix)) {
      assert.equal(size, bytesOf(key).length);
      keys.push(key);
    }
    return keys.sort();
  };
  assert.deepEqual(await keysOf("v1/a/"), ["v1/a/x-1", "v1/a/x-10"]);
  assert.deepEqual(await keysOf("v1/a/x-10"), ["v1/a/x-10"]);
  assert.deepEqual(await keysOf(""), ["v1/a/x-1", "v1/a/x-10", "v1/b/x-1"]);
  assert.deepEqual(await keysOf("v1/none/"), []);
}

async function removeOne(store: BlobStore): Promise<void> {
  const ten = await store.put("v1/x-10", bytesOf("ten"));
  await store.put("v1/x-1", bytesOf("one"));
  assert.equal(await store.remove("v1/x-1"), true);
  assert.equal(await store.remove("v1/x-1"), false);
  assert.equal(textOf(await store.get(ten)), "ten");
}

async function putAndGet(store: BlobStore): Promise<void> {
  const bytes = bytesOf("hello");
  const ref = await store.put("v1/job/a.bin", bytes);
  assert.deepEqual(ref, { key: "v1/job/a.bin", sha256: sha256Of(bytes), size: 5 });
  assert.equal(textOf(await store.get(ref)), "hello");
}

async function putNothing(store: BlobStore): Promise<void> {
  const ref = await store.put("empty", new Uint8Array(0));
  assert.equal((await store.get(ref)).length, 0);
  assert.equal((await collect(store.read(ref))).length, 0);
}

async function putPieces(store: BlobStore): Promise<void> {
  async function* source() {
    yield bytesOf("one ");
    yield bytesOf("");
    yield bytesOf("two");
  }
  const ref = await store.put("pieces", source());
  assert.equal(textOf(await store.get(ref)), "one two");
}

async function replace(store: BlobStore): Promise<void> {
  const old = await store.put("key", bytesOf("old"));
  const next = await store.put("key", bytesOf("next"));
  assert.equal(textOf(await store.get(next)), "next");
  await rejectsWith("blob-corrupt", store.get(old));
}

async function failingSource(store: BlobStore): Promise<void> {
  async function* source(): AsyncIterable<Uint8Array> {
    yield bytesOf("half of it");
    throw new FarmError("blob-missing", "the source went away");
  }
  const old = await store.put("key", bytesOf("old"));
  await rejectsWith("blob-missing", store.put("key", source()));
  assert.equal(textOf(await store.get(old)), "old");
}

async function race(store: BlobStore): Promise<void> {
  const texts = Array.from({ length: 20 }, (_, i) => `racer ${i}`);
  const outcomes = await Promise.all(texts.map((t) => store.putIfAbsent("m/x.json", bytesOf(t))));
  assert.equal(outcomes.filter((outcome) => outcome === "created").length, 1);
  const winner = bytesOf(texts[outcomes.indexOf("created")]!);
  const ref = { key: "m/x.json", sha256: sha256Of(winner), size: winner.length };
  assert.deepEqual(Buffer.from(await store.get(ref)), Buffer.from(winner));
  assert.equal(await store.putIfAbsent("m/x.json", bytesOf("late")), "exists");
}

async function unknownKey(store: BlobStore): Promise<void> {
  const ref: BlobRef = { key: "no/such/blob", sha256: sha256Of(bytesOf("")), size: 0 };
  await rejectsWith("blob-missing", store.get(ref));
  await rejectsWith("blob-missing", collect(store.read(ref)));
}

async function wrongReference(store: BlobStore): Promise<void> {
  const ref = await store.put("key", bytesOf("hello"));
  const wrong: BlobRef[] = [
    { ...ref, sha256: sha256Of(bytesOf("HELLO")) },
    { ...ref, size: 4 },
    { ...ref, size: 6 },
    { ...ref, size: 0 },
  ];
  for (const one of wrong) await rejectsWith("blob-corrupt", store.get(one));
}

async function lastPiece(store: BlobStore): Promise<void> {
  const ref = await store.put("key", new Uint8Array(1_000_000));
  let got = 0;
  const reading = async () => {
    for await (const piece of store.read({ ...ref, sha256: sha256Of(bytesOf("other")) })) {
      got += piece.length;
    }
  };
  await rejectsWith("blob-corrupt", reading());
  assert.ok(got < ref.size, "the last piece to be held back");
}

async function readLarge(store: BlobStore): Promise<void> {
  const bytes = Uint8Array.from({ length: 700_001 }, (_, i) => i % 251);
  const ref = await store.put("large", bytes);
  assert.equal(sha256Of(await collect(store.read(ref))), ref.sha256);
}

async function removeByPrefix(store: BlobStore): Promise<void> {
  const keys = ["v1/a/0/x", "v1/a/0/y/z", "v1/a/1/x", "v1/ab", "v1/b/0"];
  const refs = await Promise.all(keys.map((key) => store.put(key, bytesOf(key))));
  assert.equal(await store.removeAll("v1/a/0"), 2);
  await rejectsWith("blob-missing", store.get(refs[1]!));
  assert.equal(textOf(await store.get(refs[2]!)), "v1/a/1/x");
  assert.equal(await store.removeAll("v1/a/"), 1);
  assert.equal(textOf(await store.get(refs[3]!)), "v1/ab");
  assert.equal(await store.removeAll("v1/nothing/"), 0);
  assert.equal(await store.removeAll("v1"), 2);
}

async function removeEverything(store: BlobStore): Promise<void> {
  const ref = await store.put("key", bytesOf("kept"));
  for (const prefix of ["", "/", "../", "."]) {
    await rejectsWith("invalid-argument", store.removeAll(prefix));
  }
  assert.equal(textOf(await store.get(ref)), "kept");
}

function badKey(key: string): (store: BlobStore) => Promise<void> {
  return async (store) => {
    const ref = { key, sha256: sha256Of(bytesOf("")), size: 0 };
    await rejectsWith("invalid-argument", store.put(key, bytesOf("x")));
    await rejectsWith("invalid-argument", store.putIfAbsent(key, bytesOf("x")));
    await rejectsWith("invalid-argument", store.get(ref));
    await rejectsWith("invalid-argument", collect(store.read(ref)));
  };
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

async function rejectsWith(code: string, promise: Promise<unknown>): Promise<void> {
  await assert.rejects(promise, (error) => error instanceof FarmError && error.code === code);
}
