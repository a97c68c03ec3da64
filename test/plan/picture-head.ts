/** @file A file that passes for a picture until somebody decodes it. */

/** A webp that ends where its frames would begin. */
export const PICTURE_HEAD = "RIFF0000WEBP";
