/** @file A link to one finished file, good for some minutes; the only thing that is ever presigned. */
import { FarmError } from "../../core/errors.js";
import { badKey } from "../../ports/blob-errors.js";
import { isBlobKey } from "../../ports/blob-key.js";
import { S3Client } from "./s3-client.js";
import type { S3Credentials, S3Location } from "./s3-location.js";

export interface PresignedGet {
  readonly key: string;
  /** What the browser calls the file: [A-Za-z0-9._-], 100 characters at most. */
  readonly fileName: string;
  /** How long the link is good, 1 to 300. */
  readonly seconds: number;
}

const SECONDS_MAX = 300;
const FILE_NAME_PATTERN = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/;

/**
 * Makes a link that reads one blob and nothing else, as a download; asks no server.
 *
 * There is no such function for puts, and must not be: links to put were found to read others' files.
 *
 * @param location its public endpoint is where browsers reach the store
 * @param credentials of a user who may read finished files and nothing else
 * @throws FarmError "invalid-argument"
 */
export async function presignedGet(
  location: Pick<S3Location, "bucket" | "prefix" | "publicEndpoint" | "region" | "style">,
  credentials: S3Credentials,
  { key, fileName, seconds }: PresignedGet,
): Promise<string> {
  if (!isBlobKey(key)) throw badKey(key);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > SECONDS_MAX) {
    throw new FarmError(
      "invalid-argument",
      `a link is good for 1 to ${SECONDS_MAX} s, not ${seconds}`,
    );
  }
  if (!FILE_NAME_PATTERN.test(fileName)) {
    const shown = JSON.stringify(fileName.slice(0, 80));
    throw new FarmError("invalid-argument", `${shown} is no file name of [A-Za-z0-9._-]`);
  }
  const { publicEndpoint: endpoint } = location;
  const client = new S3Client({ ...location, endpoint, ca: null }, credentials);
  try {
    return await client.presignGet(`${location.prefix}/${key}`, seconds, {
      "response-content-disposition": `attachment; filename="${fileName}"`,
    });
  } finally {
    client.close();
  }
}
