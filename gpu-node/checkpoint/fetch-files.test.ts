import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import { FarmError } from "../../shared/core/errors.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { fetchFiles, parseManifest } from "./fetch-files.js";

const CONTENT = { "model_index.json": "{}", "unet/weights.safetensors": "w".repeat(70_000) };
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const lineOf = (path: string, text: string) => `${sha256(text)}  ${text.length}  ${path}`;
const MANIFEST = Object.entries(CONTENT).map(([path, text]) => lineOf(path, text));

describe("a manifest", () => {
  test("names files with their sums and sizes", () => {
    expect(parseManifest(`${MANIFEST.join("\n")}\n\n`)).toEqual([
      { key: "model_index.json", size: 2, sha256: sha256("{}") },
      { key: "unet/weights.safetensors", size: 70_000, sha256: sha256("w".repeat(70_000)) },
    ]);
  });

  const bad: [name: string, text: string, message: RegExp][] = [
    ["of nothing", "\n", /names no file/],
    ["with a path that leaves the folder", lineOf("../x", "a"), /line 1/],
    ["with an absolute path", lineOf("/etc/x", "a"), /line 1/],
    ["with a short sum", "abc  1  x", /line 1/],
    ["as sha256sum writes it, without sizes", `${sha256("a")}  x`, /line 1/],
  ];
  test.each(bad)("%s is refused", (_name, text, message) => {
    expect(() => parseManifest(text)).toThrow(message);
  });
});

describe("files of a store", () => {
  let folder = "";
  let to = "";
  let store: FileBlobStore;
  const refs = parseManifest(MANIFEST.join("\n"));

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "fetch-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    to = join(folder, "checkpoint");
    store = await FileBlobStore.open(join(folder, "store"));
    for (const [path, text] of Object.entries(CONTENT)) await store.put(path, Buffer.from(text));
  });

  const expectWhole = () => {
    for (const [path, text] of Object.entries(CONTENT)) {
      expect(readFileSync(join(to, path), "utf8")).toBe(text);
    }
    expect(readdirSync(folder).sort()).toEqual(["checkpoint", "store"]);
  };

  test("are fetched once, and found whole from then on", async () => {
    expect(await fetchFiles(store, refs, to)).toBe("fetched");
    expectWhole();
    expect(await fetchFiles(store, refs, to)).toBe("there");
  });

  test("are fetched anew where one was damaged on the disk", async () => {
    await fetchFiles(store, refs, to);
    writeFileSync(join(to, "model_index.json"), "[]");
    expect(await fetchFiles(store, refs, to)).toBe("fetched");
    expectWhole();
  });

  const wrong: [name: string, ref: BlobRef, code: string][] = [
    ["that is not there", { ...refs[0]!, key: "other.json" }, "blob-missing"],
    ["with another sum", { ...refs[0]!, sha256: sha256("other") }, "blob-corrupt"],
  ];
  test.each(wrong)("one %s leaves what was there before", async (_name, ref, code) => {
    await fetchFiles(store, refs, to);
    const failed = fetchFiles(store, [...refs, ref], to);
    await expect(failed).rejects.toSatisfy((e) => e instanceof FarmError && e.code === code);
    expect(readFileSync(join(to, "model_index.json"), "utf8")).toBe("{}");
  });
});
