/**
 * @file The port for machines: /metrics for Prometheus, /healthz and /readyz for probes, and for people
 * who look for a fault what runs with which settings.
 *
 * A port of its own, so that it is never open where the API is. Beyond loopback it speaks TLS, and gives
 * metrics and settings only to who shows a certificate of the farm; probes come without one.
 */
import { constants } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Registry } from "prom-client";
import { FarmError } from "../../core/errors.js";
import { scrubFields } from "../logs/scrub.js";
import { readIdentity } from "../tls/identity.js";

export interface MetricsServerOptions {
  /** HOST:PORT; port 0 takes a free one. */
  readonly listen: string;
  readonly registry: Registry;
  /** What the process needs for its work, by name: null where it is so, or why it is not. */
  readonly checks: () => Readonly<Record<string, string | null>>;
  /** What runs: versions by name. */
  readonly versions: Readonly<Record<string, string>>;
  /** Its settings as they count; what is secret in them is hidden. */
  readonly config: object;
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
const PATHS = ["/metrics", "/healthz", "/readyz", "/version", "/debug/config"];
/** What only who belongs to the farm may see. */
const FOR_THE_FARM = new Set(["/metrics", "/debug/config"]);

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
  { registry, checks, versions, config, tls }: MetricsServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const say = (status: number, text: string, type = "text/plain; charset=utf-8") =>
    response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(text);
  const sayJson = (status: number, value: object) =>
    say(status, `${JSON.stringify(value, null, 2)}\n`, "application/json");
  if (request.method !== "GET" && request.method !== "HEAD") {
    say(405, "only GET\n");
    return;
  }
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://process");
  if (FOR_THE_FARM.has(pathname) && tls && !hasShown(request.socket as TLSSocket)) {
    say(403, `${pathname.slice(1)} wants a client certificate of the farm\n`);
    return;
  }
  switch (pathname) {
    case "/healthz":
      say(200, "ok\n");
      return;
    case "/readyz": {
      const outcomes = checks();
      const reason = Object.values(outcomes).find((why) => why !== null) ?? null;
      const status = reason === null ? 200 : 503;
      if (searchParams.has("verbose")) sayJson(status, readinessOf(outcomes));
      else say(status, `${reason ?? "ready"}\n`);
      return;
    }
    case "/version":
      sayJson(200, versions);
      return;
    case "/debug/config":
      sayJson(200, scrubFields(config) as object);
      return;
    case "/metrics":
      say(200, await registry.metrics(), registry.contentType);
      return;
    default:
      say(404, `there are ${PATHS.join(", ")}\n`);
  }
}

/** As the HTTP edge of the coordinator answers it. */
function readinessOf(outcomes: Readonly<Record<string, string | null>>): object {
  const isReady = Object.values(outcomes).every((why) => why === null);
  const checks = Object.entries(outcomes).map(([name, why]) => [name, why ?? "ok"] as const);
  return { status: isReady ? "ok" : "not ready", checks: Object.fromEntries(checks) };
}
