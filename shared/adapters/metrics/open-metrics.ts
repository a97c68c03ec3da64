/** @file A process's registry with the port that serves it, or nothing where no port was asked for. */
import { Registry } from "prom-client";
import type { TlsMaterial } from "../tls/tls-files.js";
import type { UsedCertificate } from "../tls/used-certificate.js";
import { type MetricsServer, startMetricsServer } from "./metrics-server.js";
import { registerCertificateExpiry, registerProcessMetrics } from "./process-metrics.js";

/** The process's certificate; it may change while it runs. */
export interface CertificateSource {
  readonly current: TlsMaterial;
  onChange(listener: (material: TlsMaterial) => void): void;
}

export interface MetricsOptions {
  readonly version: string;
  /** Version of onnxruntime; "" in a process without it. */
  readonly ortVersion?: string;
  /** What the process needs for its work, by name: null where it is so, or why it is not. */
  readonly checks: () => Readonly<Record<string, string | null>>;
  /** Its settings as they count. */
  readonly config: object;
  /** Null: plain HTTP, for loopback. */
  readonly tls?: CertificateSource | null;
}

export interface Metrics extends MetricsServer {
  readonly registry: Registry;
  /** Takes down when a certificate ends, beside the process's own. */
  readonly onCertificate: (certificate: UsedCertificate) => void;
}

/**
 * @param listen HOST:PORT; null: no metrics at all
 * @throws FarmError "unreachable" when the address cannot be taken
 */
export async function openMetrics(
  listen: string | null,
  options: MetricsOptions,
): Promise<Metrics | null> {
  if (listen === null) return null;
  const { version, ortVersion = "", checks, config, tls = null } = options;
  const registry = new Registry();
  const commit = process.env["RENDERFARM_COMMIT"] ?? "";
  const stop = registerProcessMetrics(registry, { version, commit, ortVersion });
  const onCertificate = registerCertificateExpiry(registry);
  const material = tls?.current ?? null;
  const server = await startMetricsServer({
    ...{ listen, registry, checks, config, tls: material },
    versions: { version, commit, node: process.version, ...(ortVersion && { ortVersion }) },
  });
  if (tls) onCertificate({ use: "farm", ...tls.current });
  tls?.onChange((next) => {
    server.renew(next);
    onCertificate({ use: "farm", ...next });
  });
  return {
    ...server,
    registry,
    onCertificate,
    close: async () => {
      stop();
      await server.close();
    },
  };
}
