/** @file The one definition of what a key of the blob store may look like. */

/** Characters; S3 allows 1,024 bytes and the path of the store comes on top of it. */
const KEY_LENGTH_MAX = 512;
/** A file system's limit for one name is 255. */
const SEGMENT_PATTERN = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;

/** "/"-separated segments of [A-Za-z0-9._-], none empty, none starting with a dot. */
export function isBlobKey(key: string): boolean {
  return key.length <= KEY_LENGTH_MAX && key.split("/").every((s) => SEGMENT_PATTERN.test(s));
}
