/** @file The settings of the program that fetches a checkpoint, from its flags and environment. */
import { readFileSync } from "node:fs";
import { BLOBS_FORM, isBlobsUrl } from "../../shared/adapters/open-blob-store.js";
import { type Environment, SettingReader } from "../../shared/settings/setting-reader.js";

export interface FetchSettings {
  /** The store that holds the checkpoint's files: file:DIR or s3://... */
  readonly from: string;
  /** File of lines "<sha256>  <bytes>  <path>". */
  readonly manifest: string;
  /** Folder that is to hold them. */
  readonly to: string;
}

export const USAGE = `usage: node dist/gpu-node/fetch-checkpoint.js [flags]

  --from URL        store that has the checkpoint's files     RENDERFARM_FROM
                    ${BLOBS_FORM}
  --manifest FILE   lines of "SHA256  BYTES  PATH"             RENDERFARM_MANIFEST
  --to DIR          folder that is to hold them                RENDERFARM_TO
  --help            print this and exit

RENDERFARM_S3_ACCESS_KEY, RENDERFARM_S3_SECRET_KEY: for s3://, or files that ..._FILE name.
RENDERFARM_S3_SESSION_TOKEN: beside keys that are temporary, or a file that ..._FILE names.
Exit codes: 0 the folder is whole, 1 it could not be fetched, 2 bad settings.
`;

const FLAGS = {
  from: { type: "string" },
  manifest: { type: "string" },
  to: { type: "string" },
  help: { type: "boolean" },
} as const;

/**
 * @returns null when help was asked for
 * @throws FarmError "invalid-argument" with every wrong setting at once
 */
export function readFetchSettings(args: readonly string[], env: Environment): FetchSettings | null {
  const readFile = (path: string) => readFileSync(path, "utf8");
  const reader = new SettingReader(FLAGS, { args, env, readFile });
  if (reader.isSet("help")) return null;
  const settings = {
    from: reader.text("from"),
    manifest: reader.text("manifest"),
    to: reader.text("to"),
  };
  const isStore = settings.from === "" || isBlobsUrl(settings.from);
  reader.check("--from", isStore, `"${settings.from}" is not ${BLOBS_FORM}`);
  reader.done();
  return settings;
}
