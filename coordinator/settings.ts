/** @file The settings of a coordinator process, from its flags and environment; flags go first. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BLOBS_FORM, isBlobsUrl } from "../shared/adapters/open-blob-store.js";
import type { TlsPaths } from "../shared/adapters/tls/tls-files.js";
import { isLoopback } from "../shared/core/endpoint.js";
import { readMetricsAddress } from "../shared/settings/metrics-address.js";
import { type Environment, SettingReader } from "../shared/settings/setting-reader.js";
import { readTlsPaths, TLS_FLAGS } from "../shared/settings/tls-settings.js";
import { isJournalUrl, JOURNAL_FORM } from "./open-journal.js";
import { POLICY_FLAGS, POLICY_USAGE, readPolicy } from "./policy-settings.js";
import type { FarmPolicy } from "./shell/farm-loop.js";

export interface CoordinatorSettings {
  /** HOST:PORT of the gRPC API; port 0 takes a free one. */
  readonly listen: string;
  /** HOST:PORT of console and JSON gateway, port 0 takes a free one; null: neither is there. */
  readonly http: string | null;
  /** Folder of the journal, and of the blobs unless they are elsewhere. */
  readonly data: string;
  /** The farm's blob store: file:DIR or s3://... */
  readonly blobs: string;
  /** Where events are kept: file:DIR or nats://... */
  readonly journal: string;
  /** HOST:PORT of /metrics, /healthz and /readyz; null: there is no such port. */
  readonly metrics: string | null;
  readonly policy: FarmPolicy;
  /** Null: a farm on this machine alone, where everybody may do everything. */
  readonly access: AccessSettings | null;
}

/** TLS and keys come together: one without the other would be a lock without a door. */
export interface AccessSettings {
  readonly tls: TlsPaths;
  /** File of `renderfarm keys`. */
  readonly apiKeys: string;
  /** File that calls which change something are noted in. */
  readonly audit: string;
}

export const USAGE = `usage: node dist/coordinator/main.js [flags]

  --listen HOST:PORT         where the API listens (127.0.0.1:7433)  RENDERFARM_LISTEN
  --http HOST:PORT           where console and JSON API are (none)   RENDERFARM_HTTP
  --data DIR                 folder of journal and blobs             RENDERFARM_DATA
  --blobs URL                where blobs lie instead, file:DIR or    RENDERFARM_BLOBS
                             s3://BUCKET[/PREFIX]?endpoint=https://HOST[:PORT]
                               &region=us-east-1&style=path|virtual&ca=FILE
                               &public-endpoint=https://HOST[:PORT] (docs/s3.md)
  --journal URL              where events are kept instead, file:DIR RENDERFARM_JOURNAL
                             or nats://HOST:PORT[,HOST:PORT]/FARM
                               ?ca=FILE&cert=FILE&key=FILE&prefix=rf&replicas=1|3|5
                             On NATS, one of several coordinators leads, the others stand by.
  --tls-ca FILE              roots that are trusted                  RENDERFARM_TLS_CA
  --tls-cert FILE            the coordinator's certificate           RENDERFARM_TLS_CERT
  --tls-key FILE             its key                                 RENDERFARM_TLS_KEY
  --api-keys FILE            keys of users (renderfarm keys)         RENDERFARM_API_KEYS
  --audit FILE               audit log (DATA/audit.jsonl)            RENDERFARM_AUDIT
  --metrics HOST:PORT        /metrics, /healthz, /readyz (none)      RENDERFARM_METRICS
${POLICY_USAGE}  --help                     print this and exit

RENDERFARM_S3_ACCESS_KEY, RENDERFARM_S3_SECRET_KEY: for s3://, or files that ..._FILE name.
RENDERFARM_S3_SIGNER_ACCESS_KEY, RENDERFARM_S3_SIGNER_SECRET_KEY: who signs links to finished files.
RENDERFARM_S3_SESSION_TOKEN, RENDERFARM_S3_SIGNER_SESSION_TOKEN: beside keys that are temporary.
RENDERFARM_NATS_NKEY_SEED: this role's key for nats://, or a file that ..._FILE names.
Beyond loopback nothing listens without TLS and keys: docs/security.md.
Exit codes: 0 stopped, 1 broke down, 2 bad settings.
`;

const LISTEN_DEFAULT = "127.0.0.1:7433";

const FLAGS = {
  listen: { type: "string" },
  http: { type: "string" },
  data: { type: "string" },
  blobs: { type: "string" },
  journal: { type: "string" },
  metrics: { type: "string" },
  ...TLS_FLAGS,
  "api-keys": { type: "string" },
  audit: { type: "string" },
  ...POLICY_FLAGS,
  help: { type: "boolean" },
} as const;

/**
 * @param args the command line after the script's name
 * @returns null when help was asked for
 * @throws FarmError "invalid-argument" with every wrong setting at once
 */
export function readSettings(
  args: readonly string[],
  env: Environment,
): CoordinatorSettings | null {
  const readFile = (path: string) => readFileSync(path, "utf8");
  const reader = new SettingReader(FLAGS, { args, env, readFile });
  if (reader.isSet("help")) return null;
  const data = reader.text("data");
  const settings = {
    listen: reader.text("listen", LISTEN_DEFAULT),
    http: reader.optional("http"),
    data,
    blobs: reader.text("blobs", `file:${join(data, "blobs")}`),
    journal: reader.text("journal", `file:${join(data, "journal")}`),
    metrics: readMetricsAddress(reader),
    access: readAccess(reader, data),
    policy: readPolicy(reader),
  };
  const { blobs, journal } = settings;
  reader.check("--journal", isJournalUrl(journal), `"${journal}" is not ${JOURNAL_FORM}`);
  reader.check("--blobs", isBlobsUrl(blobs), `"${blobs}" is not ${BLOBS_FORM}`);
  for (const flag of ["listen", "http"] as const) {
    const address = settings[flag];
    const isAllowed = address === null || settings.access !== null || isLoopback(address);
    const loopback = `without TLS and keys only loopback is allowed, as in ${LISTEN_DEFAULT}`;
    reader.check(`--${flag}`, isAllowed, `"${address}": ${loopback}`);
  }
  reader.done();
  return settings;
}

function readAccess(reader: SettingReader, data: string): AccessSettings | null {
  const tls = readTlsPaths(reader);
  const apiKeys = reader.optional("api-keys");
  const audit = reader.optional("audit") ?? join(data, "audit.jsonl");
  if (tls === null && apiKeys === null) return null;
  reader.check("--api-keys", apiKeys !== null, "is missing; TLS and keys come together");
  reader.check("--tls-cert", tls !== null, "is missing; keys would travel in the clear");
  return tls && apiKeys !== null ? { tls, apiKeys, audit } : null;
}
