/**
 * @file The port for machines: /metrics for Prometheus, /healthz and /readyz for probes.
 *
 * A port of its own, so that it is never open where the API is. Beyond loopback it speaks TLS, and
 * gives metrics only to who shows a certificate of the farm; probes come without one, and see one word.
 */
import { constants } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Registry } from "prom-client";
import { FarmError } from "../../core/errors.js";
import { readIdentity } from "../tls/identity.js";

export interface MetricsServerOptions {
  /** HOST:PORT; port 0 takes a free one. */
  readonly listen: string;
  readonly registry: Registry;
  /** Why the process cannot do its work now; null when it can. */
  readonly whyNotReady: () => string | null;
  /** Null: plain HTTP, for loopback. PEM texts otherwise. */
  readonly tls: MetricsTls | null;
}

export interface MetricsTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface MetricsServer {
  /** host:port it listens on. */
  readonly address: string;
  /** Takes new certificates for the connections that come from now on. */
  renew(tls: MetricsTls): void;
  close(): Promise<void>;
}

/** A scraper or a probe that is slower than this has gone away. */
const REQUEST_MS_MAX = 10_000;
/** Scrapers and probes of a cluster; who opens more is neither. */
const CONNECTIONS_MAX = 64;

/** @throws FarmError "unreachable" when the address cannot be taken */
export async function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const { listen, tls } = options;
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    answer(options, request, response).catch(() => response.destroy());
  };
  const secure = tls ? createTlsServer(tlsOptions(tls), handle) : null;
  const server: Server = secure ?? createServer(handle);
  server.requestTimeout = REQUEST_MS_MAX;
  server.headersTimeout = REQUEST_MS_MAX;
  server.maxConnections = CONNECTIONS_MAX;
  const colon = listen.lastIndexOf(":");
  const host = listen.slice(0, colon);
  await new Promise<void>((resolve, reject) => {
    const refuse = (error: Error) => {
      const detail = `--metrics: cannot listen on ${listen}: ${error.message}`;
      reject(new FarmError("unreachable", detail, { cause: error }));
    };
    server.once("error", refuse);
    server.listen(Number(listen.slice(colon + 1)), host.replace(/^\[(.*)\]$/, "$1"), () => {
      server.off("error", refuse);
      resolve();
    });
  });
  // A scraper never keeps the process.
  server.unref();
  return {
    address: `${host}:${(server.address() as AddressInfo).port}`,
    renew: (next) => secure?.setSecureContext(tlsOptions(next)),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function tlsOptions({ ca, cert, key }: MetricsTls) {
  const minVersion = "TLSv1.3" as const;
  // A resumed session would skip the check of the certificate, and so outlive its end.
  const secureOptions = constants.SSL_OP_NO_TICKET;
  return { ca, cert, key, minVersion, secureOptions, requestCert: true, rejectUnauthorized: false };
}

/**
 * Whether a certificate of the farm was shown. `authorized` alone does not say so: Node takes a
 * resumed session of TLS 1.3 for authorized even where no certificate was ever shown.
 */
function hasShown(socket: TLSSocket): boolean {
  if (!socket.authorized) return false;
  return readIdentity(socket.getPeerCertificate().subjectaltname) !== null;
}

async function answer(
  { registry, whyNotReady, tls }: MetricsServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const say = (status: number, text: string, type = "text/plain; charset=utf-8") =>
    response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(text);
  if (request.method !== "GET" && request.method !== "HEAD") {
    say(405, "only GET\n");
    return;
  }
  switch (request.url?.split("?")[0]) {
    case "/healthz":
      say(200, "ok\n");
      return;
    case "/readyz": {
      const reason = whyNotReady();
      say(reason === null ? 200 : 503, `${reason ?? "ready"}\n`);
      return;
    }
    case "/metrics":
      if (tls && !hasShown(request.socket as TLSSocket)) {
        say(403, "metrics want a client certificate of the farm\n");
        return;
      }
      say(200, await registry.metrics(), registry.contentType);
      return;
    default:
      say(404, "there are /metrics, /healthz and /readyz\n");
  }
}
