/** @file The settings of a coordinator process, from its flags and environment; flags go first. */
import { readFileSync } from "node:fs";
import { type Environment, SettingReader } from "../shared/settings/setting-reader.js";

export interface CoordinatorSettings {
  /** HOST:PORT of the gRPC API; port 0 takes a free one. */
  readonly listen: string;
  /** HOST:PORT of console and JSON gateway, port 0 takes a free one; null: neither is there. */
  readonly http: string | null;
  /** Folder of the journal and the blobs. */
  readonly data: string;
}

export const USAGE = `usage: node dist/coordinator/main.js [flags]

  --listen HOST:PORT         where the API listens (127.0.0.1:7433)  RENDERFARM_LISTEN
  --http HOST:PORT           where console and JSON API listen (off) RENDERFARM_HTTP
  --data DIR                 folder of journal and blobs             RENDERFARM_DATA
  --help                     print this and exit

Exit codes: 0 stopped, 1 broke down, 2 bad settings.
`;

const LISTEN_DEFAULT = "127.0.0.1:7433";
const LOOPBACK_HOSTS = ["127.0.0.1", "localhost", "[::1]"];

const FLAGS = {
  listen: { type: "string" },
  http: { type: "string" },
  data: { type: "string" },
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
  const settings = {
    listen: reader.text("listen", LISTEN_DEFAULT),
    http: reader.optional("http"),
    data: reader.text("data"),
  };
  refuseBeyondLoopback(reader, "--listen", settings.listen);
  if (settings.http !== null) refuseBeyondLoopback(reader, "--http", settings.http);
  reader.done();
  return settings;
}

function refuseBeyondLoopback(reader: SettingReader, field: string, address: string): void {
  const host = address.slice(0, address.lastIndexOf(":"));
  const loopback = `without TLS and keys only loopback is allowed, as in ${LISTEN_DEFAULT}`;
  reader.check(field, LOOPBACK_HOSTS.includes(host), `"${address}": ${loopback}`);
}
