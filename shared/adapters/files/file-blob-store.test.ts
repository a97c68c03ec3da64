import { existsSync } from "node:fs";
import {
  mkdir,
  mkdtemp,
  readdir,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { blobStoreContract } from "../../ports/blob-store.contract.js";
import { FileBlobStore } from "./file-blob-store.js";

const bytes = new TextEncoder().encode("hello");
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "blobs-"));
});
afterEach(() => rm(folder, { recursive: true }));

test.each(blobStoreContract)("FileBlobStore %s", async (_name, check) => {
  await check(await FileBlobStore.open(folder));
});

test("two processes' stores in one folder see each other's blobs", async () => {
  const ref = await (await FileBlobStore.open(folder)).put("a/b", bytes);
  expect(await (await FileBlobStore.open(folder)).get(ref)).toEqual(bytes);
});

test("no temporary file is left, whatever the end of a put", async () => {
  const store = await FileBlobStore.open(folder);
  await store.put("a", bytes);
  await store.putIfAbsent("a", bytes);
  await store.putIfAbsent("b", bytes);
  const failing = (async function* () {
    yield bytes;
    throw new Error("source");
  })();
  await expect(store.put("c", failing)).rejects.toThrow("source");
  expect(await readdir(join(folder, ".tmp"))).toEqual([]);
});

test("a temporary file that a dead process left is removed at open, a fresh one is not", async () => {
  await mkdir(join(folder, ".tmp"));
  await writeFile(join(folder, ".tmp", "old"), "x");
  await writeFile(join(folder, ".tmp", "fresh"), "x");
  await utimes(join(folder, ".tmp", "old"), 1, 1);
  await FileBlobStore.open(folder);
  expect(await readdir(join(folder, ".tmp"))).toEqual(["fresh"]);
});

test("a blob that was cut on disk is corrupt", async () => {
  const store = await FileBlobStore.open(folder);
  const ref = await store.put("a", bytes);
  await truncate(join(folder, "a"), 4);
  await expect(store.get(ref)).rejects.toMatchObject({ code: "blob-corrupt" });
});

test("symbolic links lead nowhere, neither for reading nor for writing", async () => {
  const outside = await mkdtemp(join(tmpdir(), "outside-"));
  try {
    const store = await FileBlobStore.open(folder);
    const ref = await store.put("real", bytes);
    await symlink(join(folder, "real"), join(folder, "alias"));
    await symlink(outside, join(folder, "door"));
    await expect(store.get({ ...ref, key: "alias" })).rejects.toMatchObject({
      code: "unreachable",
    });
    await expect(store.put("door/x", bytes)).rejects.toMatchObject({ code: "unreachable" });
    await store.removeAll("door");
    expect(existsSync(outside)).toBe(true);
  } finally {
    await rm(outside, { recursive: true });
  }
});

test("a folder where a blob should be is missing, not a crash", async () => {
  const store = await FileBlobStore.open(folder);
  const ref = await store.put("a/b", bytes);
  await expect(store.get({ ...ref, key: "a" })).rejects.toMatchObject({ code: "blob-missing" });
  await expect(store.get({ ...ref, key: "a/b/c" })).rejects.toMatchObject({ code: "blob-missing" });
});

test("a folder that cannot be made is named", async () => {
  await writeFile(join(folder, "file"), "");
  await expect(FileBlobStore.open(join(folder, "file", "store"))).rejects.toThrow(
    /cannot open the blob folder .*ENOTDIR/,
  );
});
