/** @file What becomes of a job's files between the farm and their place: named anew, joined, hashed. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat, writeFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { joinClips } from "./clips-safetensors.js";

/** What tells a file from every other. */
interface Fingerprint {
  /** Hex. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * The farm calls every mp4 "clip.mp4"; the text file beside it names the file that users see.
 *
 * @param video name of that file, without folders
 */
export async function renameInSidecar(path: string, video: string): Promise<Fingerprint> {
  const text = (await readFile(path, "utf8")).replace(
    '"file": "clip.mp4"',
    () => `"file": ${JSON.stringify(video)}`,
  );
  await writeFile(path, text);
  return {
    sha256: createHash("sha256").update(text).digest("hex"),
    size: Buffer.byteLength(text),
  };
}

/** Writes the frames of all clips into one safetensors file at `path`. */
export async function joinParts(clipPaths: readonly string[], path: string): Promise<Fingerprint> {
  await joinClips(clipPaths, path);
  return { sha256: await sha256Of(path), size: (await stat(path)).size };
}

/** Hex. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
