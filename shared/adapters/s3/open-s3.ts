/**
 * @file The S3 that a setting names. The files of its URL and of its keys are read again while the
 * process runs: the next request is signed by the newest keys and trusts the newest roots.
 */
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { whyNoSecret } from "../files/secret-file.js";
import { Watched } from "../files/watched.js";
import type { BlobStoreOptions } from "../open-blob-store.js";
import { followCertificates, type UsedCertificate, usedRoots } from "../tls/used-certificate.js";
import { type S3Access, S3BlobStore } from "./s3-blob-store.js";
import { parseS3Location, readS3Credentials, readS3Signer } from "./s3-location.js";

interface S3Files {
  readonly access: S3Access;
  readonly certificates: readonly UsedCertificate[];
}

/**
 * @param url s3://...
 * @throws FarmError "invalid-argument" when the setting cannot work, "unreachable" when the store
 *   does not answer
 */
export async function openS3BlobStore(
  url: string,
  { env, log, role, watching }: BlobStoreOptions,
): Promise<S3BlobStore> {
  const around = { env, readFile: (path: string) => readFileSync(path, "utf8"), whyNoSecret };
  const read = (before: S3Files | null): S3Files => {
    const location = parseS3Location(url, around);
    const credentials = readS3Credentials(location, around);
    const signer = role === "publishes" ? readS3Signer(location, around) : null;
    const access = { location, credentials, signer };
    if (before && isDeepStrictEqual(access, before.access)) return before;
    const { ca } = location;
    const nowMs = (watching?.wallMs ?? Date.now)();
    const certificates = ca ? [usedRoots("s3-roots", ca, "--blobs ca=", nowMs)] : [];
    return { access, certificates };
  };
  if (!watching) return S3BlobStore.open({ ...read(null).access, log, role });
  const stays = "S3 is asked and trusted by what was in its files before";
  const files = new Watched(read, { ...watching, stays });
  try {
    const store = await S3BlobStore.open({ ...files.current.access, log, role });
    files.onChange(({ access }) => {
      store.renew(access);
      log.info("took new files for S3; requests that follow use them");
    });
    // Something may have changed while the store was asked for the first time.
    store.renew(files.current.access);
    followCertificates(files, watching);
    store.onClose(() => files.close());
    return store;
  } catch (error) {
    files.close();
    throw error;
  }
}
