/** @file Removal of what a job's tasks left in the store. */
import type { BlobStore } from "../../shared/ports/blob-store.js";

/** Folders of a clip that hold finished files and their manifests. */
const KEPT = /^v1\/[a-z0-9]{26}\/\d+\/(out-\d+\/|manifest-)/;

/** Whether a key of a job is one that stays when the job is swept. */
export function isFinishedFile(key: string): boolean {
  return KEPT.test(key);
}

/** What is to go, and what is to stay. */
export interface Sweep {
  readonly jobId: string;
  /** Finished files too: the job was deleted. */
  readonly outputs: boolean;
  /** Asked before each removal: a job that is retried meanwhile needs what it makes now. */
  readonly isWanted: () => boolean;
}

/**
 * Removes conditioning, latents, step checkpoints and decoded chunks of a job that needs them no
 * more, and its finished files too when it was deleted.
 *
 * @returns how many blobs went
 * @throws FarmError "unreachable"
 */
export async function sweepJob(blobs: BlobStore, sweep: Sweep): Promise<number> {
  const { jobId, outputs, isWanted } = sweep;
  const prefix = `v1/${jobId}/`;
  if (outputs) return blobs.removeAll(prefix);
  let count = 0;
  for await (const { key } of blobs.list(prefix)) {
    if (!isWanted()) break;
    if (!isFinishedFile(key) && (await blobs.remove(key))) count += 1;
  }
  return count;
}
