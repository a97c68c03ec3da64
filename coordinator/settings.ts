/** @file The settings of a coordinator process, from its flags and environment; flags go first. */
import { readFileSync } from "node:fs";
import { readMetricsAddress } from "../shared/settings/metrics-address.js";
import { type Environment, SettingReader } from "../shared/settings/setting-reader.js";

export interface CoordinatorSettings {
  /** HOST:PORT of the gRPC API; port 0 takes a free one. */
  readonly listen: string;
  /** Folder of the journal and the blobs. */
  readonly data: string;
  /** HOST:PORT of /metrics, /healthz and /readyz; null: there is no such port. */
  readonly metrics: string | null;
}

export const USAGE = `usage: node dist/coordinator/main.js [flags]

  --listen HOST:PORT         where the API listens (127.0.0.1:7433)  RENDERFARM_LISTEN
  --data DIR                 folder of journal and blobs             RENDERFARM_DATA
  --metrics HOST:PORT        /metrics, /healthz, /readyz (none)      RENDERFARM_METRICS
  --help                     print this and exit

Exit codes: 0 stopped, 1 broke down, 2 bad settings.
`;

const LISTEN_DEFAULT = "127.0.0.1:7433";
const LOOPBACK_HOSTS = ["127.0.0.1", "localhost", "[::1]"];

const FLAGS = {
  listen: { type: "string" },
  data: { type: "string" },
  metrics: { type: "string" },
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
    data: reader.text("data"),
    metrics: readMetricsAddress(reader, false),
  };
  const host = settings.listen.slice(0, settings.listen.lastIndexOf(":"));
  const loopback = `without TLS and keys only loopback is allowed, as in ${LISTEN_DEFAULT}`;
  reader.check("--listen", LOOPBACK_HOSTS.includes(host), `"${settings.listen}": ${loopback}`);
  reader.done();
  return settings;
}
