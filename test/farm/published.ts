/** @file What a clip left in a store. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import type { JobView } from "../../shared/farm/job.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import { type FileHashes, hashesOf } from "./farm-harness.js";

/** A store that tests look into. */
export interface LookedInto {
  readonly blobs: BlobStore;
  /** Text of a blob whose hash is not known. */
  textOf(key: string): Promise<string>;
}

/**
 * A clip that has ended well was published once, its manifest names what the job names, and all of
 * that lies in the store.
 *
 * @returns sha256 by file name
 */
export async function publishedOnce(
  { blobs, textOf }: LookedInto,
  job: JobView,
  clipIndex = 0,
): Promise<FileHashes> {
  const hashes = hashesOf(job, clipIndex);
  const manifests: string[] = [];
  for await (const { key } of blobs.list(`v1/${job.jobId}/${clipIndex}/manifest-`)) {
    manifests.push(key);
  }
  expect(manifests).toEqual([`v1/${job.jobId}/${clipIndex}/manifest-${job.run}.json`]);
  const { outputs } = job.clips[clipIndex]!;
  const manifest: unknown = JSON.parse(await textOf(manifests[0]!));
  expect(manifest).toMatchObject({ job: job.jobId, clip: clipIndex, outputs });
  for (const { blob } of outputs) await blobs.get(blob);
  return hashes;
}

/** A folder of blobs. */
export async function folderStore(folder: string): Promise<LookedInto> {
  const textOf = (key: string) => readFile(join(folder, key), "utf8");
  return { blobs: await FileBlobStore.open(folder), textOf };
}
