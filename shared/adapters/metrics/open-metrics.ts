/** @file A process's registry with the port that serves it, or nothing where no port was asked for. */
import { Registry } from "prom-client";
import { type MetricsServer, type MetricsTls, startMetricsServer } from "./metrics-server.js";
import {
  type CertificateFile,
  registerCertificateExpiry,
  registerProcessMetrics,
} from "./process-metrics.js";

export interface MetricsOptions {
  readonly version: string;
  /** Version of onnxruntime; "" in a process without it. */
  readonly ortVersion?: string;
  /** Why the process cannot do its work now; null when it can. */
  readonly whyNotReady: () => string | null;
  /** Null: plain HTTP, for loopback. */
  readonly tls?: MetricsTls | null;
  /** Certificates to say the end of. */
  readonly certificates?: readonly CertificateFile[];
}

export interface Metrics extends MetricsServer {
  readonly registry: Registry;
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
  const { version, ortVersion = "", whyNotReady, tls = null, certificates = [] } = options;
  const registry = new Registry();
  const commit = process.env["RENDERFARM_COMMIT"] ?? "";
  const stop = registerProcessMetrics(registry, { version, commit, ortVersion });
  if (certificates.length > 0) registerCertificateExpiry(registry, certificates);
  const server = await startMetricsServer({ listen, registry, whyNotReady, tls });
  return {
    ...server,
    registry,
    close: async () => {
      stop();
      await server.close();
    },
  };
}
