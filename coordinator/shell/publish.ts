/** @file Publication of a finished clip: one manifest, of several racers exactly one. */
import type { Output } from "../../shared/farm/work.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";

export interface Publication {
  readonly jobId: string;
  readonly clipIndex: number;
  /** 1, and one more each time something of the clip was done again. */
  readonly run: number;
  readonly outputs: readonly Output[];
}

/**
 * Writes the manifest of a clip unless it is there.
 *
 * A second publisher of a run can only be a coordinator that replays the very same journal, so an
 * existing manifest names the same files.
 *
 * @throws FarmError "unreachable" when the store cannot take it
 */
export async function publishClip(blobs: BlobStore, publication: Publication): Promise<void> {
  const { jobId, clipIndex, run, outputs } = publication;
  const manifest = { job: jobId, clip: clipIndex, run, outputs };
  const bytes = new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);
  await blobs.putIfAbsent(`v1/${jobId}/${clipIndex}/manifest-${run}.json`, bytes);
}
