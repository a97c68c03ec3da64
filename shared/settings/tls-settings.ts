/** @file The flags by which every program is told of its certificate. */
import type { TlsPaths } from "../adapters/tls/tls-files.js";
import type { SettingReader } from "./setting-reader.js";

export const TLS_FLAGS = {
  "tls-ca": { type: "string" },
  "tls-cert": { type: "string" },
  "tls-key": { type: "string" },
} as const;

/** All three files, or none: null. Anything between is a wrong setting. */
export function readTlsPaths(reader: SettingReader): TlsPaths | null {
  const paths = {
    ca: reader.optional("tls-ca"),
    cert: reader.optional("tls-cert"),
    key: reader.optional("tls-key"),
  };
  if (paths.ca === null && paths.cert === null && paths.key === null) return null;
  for (const [name, path] of Object.entries(paths)) {
    reader.check(
      `--tls-${name}`,
      path !== null,
      "is missing; TLS wants a CA, a certificate, a key",
    );
  }
  return { ca: paths.ca ?? "", cert: paths.cert ?? "", key: paths.key ?? "" };
}
