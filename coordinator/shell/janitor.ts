/**
 * @file Garbage in the blob store: blobs whose owner, a job, does not know them any more.
 *
 * A job owns its pictures, its latents file and everything under its id. What belongs to nobody is
 * left by uploads that no job ever named, and by a coordinator that died between the end of a job
 * and its sweep. Young blobs are spared: their job may be about to be created.
 */
import type { BlobStore } from "../../shared/ports/blob-store.js";
import type { Farm } from "../plan/farm-state.js";

/** An upload that no job named by then never will be. */
const SPARED_MS = 3_600_000;

const INPUT_PATTERN = /^v1\/inputs\/(?:[a-z0-9-]{1,63}\/)?[a-z0-9]{26}$/;
const JOB_PATTERN = /^v1\/([a-z0-9]{26})\//;

export interface Garbage {
  readonly blobs: number;
  readonly bytes: number;
}

/**
 * Finds what nobody owns and, unless it is a dry run, removes it.
 *
 * @param nowMs milliseconds since 1970
 * @throws FarmError "unreachable" when the store cannot be listed
 */
export async function collectGarbage(
  blobs: BlobStore,
  farm: Farm,
  options: { readonly dryRun: boolean; readonly nowMs: number },
): Promise<Garbage> {
  const orphans: { key: string; size: number }[] = [];
  const inputsBefore = inputsOf(farm);
  for await (const { key, size, putAtMs } of blobs.list("")) {
    if (options.nowMs - putAtMs < SPARED_MS || isOwned(farm, inputsBefore, key)) continue;
    orphans.push({ key, size });
  }
  // A job may have come to own some of them while the listing went on.
  const inputsNow = inputsOf(farm);
  let count = 0;
  let bytes = 0;
  for (const { key, size } of orphans) {
    if (isOwned(farm, inputsNow, key)) continue;
    if (!options.dryRun && !(await blobs.remove(key))) continue;
    count += 1;
    bytes += size;
  }
  return { blobs: count, bytes };
}

/** Also true of keys that are not of our making: nothing else is ours to remove. */
function isOwned(farm: Farm, inputs: ReadonlySet<string>, key: string): boolean {
  if (INPUT_PATTERN.test(key)) return inputs.has(key);
  const jobId = JOB_PATTERN.exec(key)?.[1];
  return jobId === undefined || farm.jobs.has(jobId);
}

function inputsOf(farm: Farm): Set<string> {
  const keys = new Set<string>();
  for (const { images, parameters, branchLatents } of farm.jobs.values()) {
    for (const { key } of images) keys.add(key);
    if (parameters.latents) keys.add(parameters.latents.key);
    if (branchLatents) keys.add(branchLatents.key);
  }
  return keys;
}
