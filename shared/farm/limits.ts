/**
 * @file The legal range of every number of a request.
 *
 * The reference checks almost none of them; each bound here is far beyond what a model was trained
 * for and well below what would take a farm down.
 */

/** Both ends belong to the range. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Height and width in pixels. */
export const SIDE_PIXELS: Range = { min: 8, max: 4096 };
/** Height and width are multiples of this, as the reference demands. */
export const SIDE_MULTIPLE = 8;
/** Height times width: the area of 2048 x 2048. */
export const FRAME_PIXELS_MAX = 4_194_304;
/** Frames times height times width: 256 frames of 1024 x 1024; as float32 they take 3 GiB. */
export const CLIP_PIXELS_MAX = 268_435_456;

export const NUM_FRAMES: Range = { min: 1, max: 256 };
/** How many noise levels `sigmas` may have; n make n - 1 steps. */
export const SIGMA_COUNT: Range = { min: 2, max: 1001 };
/** Its square still fits float32 with room to spare. */
export const SIGMA_MAX = 1e9;
export const GUIDANCE_SCALE: Range = { min: 0, max: 100 };
/** Frames a second. */
export const FPS: Range = { min: 1, max: 240 };
export const MOTION_BUCKET_ID: Range = { min: 0, max: 1023 };
export const NOISE_AUG_STRENGTH: Range = { min: 0, max: 10 };
/** Steps from one that runs the whole UNet to the next. */
export const CACHE_INTERVAL: Range = { min: 1, max: 16 };
export const NUM_VIDEOS_PER_PROMPT: Range = { min: 1, max: 100 };
/** Clips of one job: pictures times videos a picture. */
export const CLIPS_MAX = 1000;
/** A seed of torch's generator has 64 bits. */
export const SEED_MAX = 2n ** 64n - 1n;

/** Bytes of one preview: a control message of 64 KiB holds it with room to spare. */
export const PREVIEW_BYTES_MAX = 20_000;

/** Bytes of one uploaded picture or latents file: latents of 70 SVD-XT clips. */
export const INPUT_BYTES_MAX = 256 * 1024 * 1024;
