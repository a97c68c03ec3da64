/** @file Names of a clip's blobs, built from validated ids and numbers only. */
import { FarmError } from "../../shared/core/errors.js";
import { ID_PATTERN } from "../../shared/core/ids.js";

/** Which clip a task works on, and the grant under which it may write. */
export interface ClipPlace {
  readonly jobId: string;
  /** Index of the clip within its job, from 0. */
  readonly clipIndex: number;
  /** Fencing number of the task: a later grant writes other keys. */
  readonly epoch: number;
}

/** File names that a stage may write: no folder, no leading dot. */
const FILE_NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/**
 * The place of an assignment's clip, from ids that came over the wire.
 *
 * @throws FarmError "invalid-argument" when an id has another form than ours
 */
export function clipPlace(assignment: {
  readonly jobId: string;
  readonly clipId: string;
  readonly epoch: number;
}): ClipPlace {
  const { jobId, clipId, epoch } = assignment;
  const index = /^(.*)-(0|[1-9][0-9]{0,8})$/.exec(clipId);
  if (!ID_PATTERN.test(jobId) || index === null || index[1] !== jobId) {
    throw malformed(`clip ${JSON.stringify(clipId)} of job ${JSON.stringify(jobId)}`);
  }
  if (!Number.isSafeInteger(epoch) || epoch < 0) throw malformed(`epoch ${epoch}`);
  return { jobId, clipIndex: Number(index[2]), epoch };
}

/** Where `condition` puts embedding, image latents and initial noise. */
export function conditioningKey(place: ClipPlace): string {
  return `${clipPrefix(place)}/conditioning-${place.epoch}`;
}

/** Where `denoise` puts the finished latents. */
export function latentsKey(place: ClipPlace): string {
  return `${clipPrefix(place)}/latents-${place.epoch}`;
}

/** Where `denoise` puts the latents after `step` of its steps, to go on from. */
export function stepKey(place: ClipPlace, step: number): string {
  if (!Number.isSafeInteger(step) || step < 1) throw malformed(`step ${step}`);
  return `${clipPrefix(place)}/step-${step}-${place.epoch}`;
}

/** Where `decode` puts the frames of the chunk that begins at `firstFrame`. */
export function chunkKey(place: ClipPlace, firstFrame: number): string {
  if (!Number.isSafeInteger(firstFrame) || firstFrame < 0) throw malformed(`frame ${firstFrame}`);
  return `${clipPrefix(place)}/chunk-${firstFrame}-${place.epoch}`;
}

/** Where `mux` puts a finished file. */
export function outputKey(place: ClipPlace, fileName: string): string {
  if (!FILE_NAME_PATTERN.test(fileName)) throw malformed(`file name ${JSON.stringify(fileName)}`);
  return `${clipPrefix(place)}/out-${place.epoch}/${fileName}`;
}

/** What all blobs of one clip begin with. */
function clipPrefix(place: ClipPlace): string {
  if (!ID_PATTERN.test(place.jobId)) throw malformed(`job ${JSON.stringify(place.jobId)}`);
  return `v1/${place.jobId}/${place.clipIndex}`;
}

function malformed(what: string): FarmError {
  return new FarmError(
    "invalid-argument",
    `${what} cannot name a blob: a job id is 26 of [a-z0-9], a clip id is its job's id, "-" and an index`,
  );
}
