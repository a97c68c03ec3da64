/** @file What a clip left in a store of files. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import type { JobView } from "../../shared/farm/job.js";
import { type FileHashes, hashesOf } from "./farm-harness.js";

/**
 * A clip that has ended well was published once, its manifest names what the job names, and all of
 * that lies in the store.
 *
 * @returns sha256 by file name
 */
export async function publishedOnce(
  folder: string,
  job: JobView,
  clipIndex = 0,
): Promise<FileHashes> {
  const hashes = hashesOf(job, clipIndex);
  const blobs = await FileBlobStore.open(folder);
  const manifests: string[] = [];
  for await (const { key } of blobs.list(`v1/${job.jobId}/${clipIndex}/manifest-`)) {
    manifests.push(key);
  }
  expect(manifests).toEqual([`v1/${job.jobId}/${clipIndex}/manifest-${job.run}.json`]);
  const manifest = readFileSync(join(folder, manifests[0]!), "utf8");
  const { outputs } = job.clips[clipIndex]!;
  expect(JSON.parse(manifest)).toMatchObject({ job: job.jobId, clip: clipIndex, outputs });
  for (const { blob } of outputs) await blobs.get(blob);
  return hashes;
}
