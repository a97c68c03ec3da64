/**
 * @file Fetches the files of a checkpoint from a blob store: each is checked against its sha256, and
 * the folder appears under its name when it is whole.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { refusal, type Violation } from "../../shared/core/errors.js";
import { isBlobKey } from "../../shared/ports/blob-key.js";
import type { BlobRef, BlobStore } from "../../shared/ports/blob-store.js";

const LINE_PATTERN = /^([0-9a-f]{64}) {2}(\d{1,15}) {2}(.+)$/;

/**
 * @param text lines of "<sha256>  <bytes>  <path>"; empty ones count for nothing
 * @throws FarmError "invalid-argument" with every wrong line at once
 */
export function parseManifest(text: string): BlobRef[] {
  const violations: Violation[] = [];
  const refs = text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    const [, sha256 = "", size = "", key = ""] = LINE_PATTERN.exec(line) ?? [];
    if (isBlobKey(key)) return [{ sha256, size: Number(size), key }];
    const description = `line ${i + 1} is not "SHA256  BYTES  PATH": ${line.slice(0, 120)}`;
    violations.push({ field: "--manifest", description });
    return [];
  });
  if (refs.length === 0) violations.push({ field: "--manifest", description: "names no file" });
  if (violations.length > 0) throw refusal(violations);
  return refs;
}

/**
 * @returns "there" when the folder was whole already, else "fetched"
 * @throws FarmError "blob-missing" or "blob-corrupt" naming the file, "unreachable" when the store
 *   does not answer; then the folder is as it was
 */
export async function fetchFiles(
  store: Pick<BlobStore, "read">,
  refs: readonly BlobRef[],
  folder: string,
): Promise<"there" | "fetched"> {
  if (await isWhole(folder, refs)) return "there";
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  for (const ref of refs) {
    const path = join(unfinished, ref.key);
    await mkdir(dirname(path), { recursive: true });
    // The last piece comes only after the checksum was found right.
    await pipeline(store.read(ref), createWriteStream(path, { flush: true }));
  }
  await rm(folder, { recursive: true, force: true });
  await rename(unfinished, folder);
  return "fetched";
}

async function isWhole(folder: string, refs: readonly BlobRef[]): Promise<boolean> {
  for (const { key, size, sha256 } of refs) {
    const path = join(folder, key);
    const found = await stat(path).catch(() => null);
    if (found?.size !== size || (await sha256Of(path)) !== sha256) return false;
  }
  return true;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
