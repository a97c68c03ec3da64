/** @file The three numbers that tell the UNet how a clip should move. */

/** The added ids in the order in which the UNet embeds them. */
export const ADDED_TIME_IDS = ["fps", "motion_bucket_id", "noise_aug_strength"] as const;

export interface Motion {
  /** Frames per second of the clip; the model was trained on this number minus one. */
  readonly fps: number;
  /** More motion for higher values; 127 is usual. */
  readonly motionBucketId: number;
  /** Standard deviation of the noise added to the picture before encoding. */
  readonly noiseAugStrength: number;
}

/**
 * @returns Float32Array [3]: fps - 1, motion bucket id, noise augmentation strength
 * @source diffusers pipeline_stable_video_diffusion.py, __call__ (`fps = fps - 1`), _get_add_time_ids
 */
export function addedTimeIds(motion: Motion): Float32Array {
  return Float32Array.of(motion.fps - 1, motion.motionBucketId, motion.noiseAugStrength);
}
