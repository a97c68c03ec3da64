/** @file The configuration of a test's nats-server: TLS, a user for each role, synced writes. */
import type { RolePermissions } from "../../shared/adapters/nats/nats-names.js";

export interface NatsUser {
  /** Public key, "U...". */
  readonly nkey: string;
  readonly permissions: RolePermissions;
}

export interface NatsConfig {
  readonly port: number;
  readonly storeDir: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** Roots of clients' certificates; absent: none is asked for. */
  readonly clientCaFile?: string;
  readonly users: readonly NatsUser[];
  /** Bytes of a message; 8 MB unless told. */
  readonly maxPayload?: number;
  /** Unless told, "test". */
  readonly name?: string;
  /** Where the servers of one cluster reach each other; the first is its own. Absent: it is alone. */
  readonly routePorts?: readonly number[];
}

/** In the server's own format, of which JSON is a part. */
export function natsConfigText(config: NatsConfig): string {
  const { port, storeDir, certFile, keyFile, users, maxPayload = 8_388_608 } = config;
  const { name = "test", routePorts = [], clientCaFile } = config;
  const [own, ...others] = routePorts.map((routePort) => `127.0.0.1:${routePort}`);
  const routes = others.map((other) => `nats://${other}`);
  const text = {
    host: "127.0.0.1",
    port,
    server_name: name,
    ...(own ? { cluster: { name: "test", listen: own, routes } } : {}),
    max_payload: maxPayload,
    write_deadline: "10s",
    jetstream: { store_dir: storeDir, sync_interval: "always", max_file_store: 4_294_967_296 },
    tls: {
      ...{ cert_file: certFile, key_file: keyFile },
      ...(clientCaFile && { ca_file: clientCaFile, verify: true }),
    },
    authorization: {
      users: users.map(({ nkey, permissions: { publish, subscribe } }) => ({
        nkey,
        permissions: { publish: { allow: publish }, subscribe: { allow: subscribe } },
      })),
    },
  };
  return JSON.stringify(text, null, 2);
}
