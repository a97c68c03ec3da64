/** @file The blob store that a setting names: a folder of this machine, or any S3. */
import { stat } from "node:fs/promises";
import { FarmError } from "../core/errors.js";
import type { BlobStore } from "../ports/blob-store.js";
import type { Log } from "../ports/log.js";
import type { Environment } from "../settings/setting-reader.js";
import { FileBlobStore } from "./files/file-blob-store.js";
import type { FollowOptions } from "./tls/used-certificate.js";

/** What `--blobs` takes. */
export const BLOBS_FORM = "file:DIR or s3://BUCKET[/PREFIX]?endpoint=https://HOST[:PORT]";

export interface BlobStoreOptions {
  /**
   * Holds the credentials of an S3: RENDERFARM_S3_ACCESS_KEY, _SECRET_KEY and their ..._FILE. A
   * coordinator that gives links has RENDERFARM_S3_SIGNER_ACCESS_KEY, _SECRET_KEY (..._FILE) too.
   */
  readonly env: Environment;
  readonly log: Log;
  /**
   * A coordinator "publishes": it makes a folder that is missing, and checks that an S3 keeps
   * If-None-Match. A node "uses" the store that the coordinator has.
   */
  readonly role: "publishes" | "uses";
  /** How the files of an S3 are read again while the process runs; absent: they are read once. */
  readonly watching?: FollowOptions;
}

/** Whether a value of `--blobs` has one of the forms at all; the rest shows when it is opened. */
export function isBlobsUrl(url: string): boolean {
  return /^(file:.|s3:\/\/.)/.test(url);
}

/**
 * @param url as BLOBS_FORM says
 * @throws FarmError "invalid-argument" when the setting cannot work, "unreachable" when the store
 *   does not answer
 */
export async function openBlobStore(url: string, options: BlobStoreOptions): Promise<BlobStore> {
  if (url.startsWith("s3://")) return openS3(url, options);
  if (!isBlobsUrl(url)) {
    throw new FarmError("invalid-argument", `--blobs: "${url}" is not ${BLOBS_FORM}`);
  }
  const folder = url.slice("file:".length);
  if (options.role === "uses") await refuseMissingFolder(folder);
  return FileBlobStore.open(folder);
}

async function openS3(url: string, options: BlobStoreOptions): Promise<BlobStore> {
  // Only who uses an S3 loads its client.
  const { openS3BlobStore } = await import("./s3/open-s3.js");
  return openS3BlobStore(url, options);
}

async function refuseMissingFolder(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory()) return;
  const text = `--blobs: ${path} is not a folder; the coordinator makes one named "blobs" in its data folder`;
  throw new FarmError("invalid-argument", text);
}
