/**
 * @file The HTTP edge: console, JSON gateway and event streams over the same API as gRPC.
 *
 * Browsers come here, so every request is also asked where it comes from: another page must not be
 * able to use the farm of somebody who happens to have it open.
 */
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { toStatusJson } from "../../shared/adapters/grpc/status.js";
import { contextOptions } from "../../shared/adapters/tls/grpc-credentials.js";
import { assert } from "../../shared/core/assert.js";
import { endpointOf, isLoopback } from "../../shared/core/endpoint.js";
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import type { Clock } from "../../shared/ports/clock.js";
import type { Access } from "../access/access.js";
import { HttpRefusal, sendError, sendJson, setCommonHeaders } from "./answers.js";
import { ConsoleFiles } from "./console-files.js";
import { passOf } from "./entrance.js";
import { type EventSource, serveEvents } from "./event-stream.js";
import { checkReadiness } from "./health.js";
import { Router } from "./router.js";
import { farmRoutes, type RouteParts } from "./routes.js";

/** A client that has not sent its headers by then is cut. */
const HEADERS_MS = 10_000;
/** The largest input over a slow line: 256 MiB at 7 Mbit/s. */
const REQUEST_MS = 300_000;
const IDLE_MS = 65_000;
/** A connection on which nothing moves, as of a reader that takes nothing of a file. */
const STALLED_MS = 120_000;
const HEADER_BYTES_MAX = 16 * 1024;
const CONNECTIONS_MAX = 1_024;
/** Of an id in the audit log. */
const OBJECT_LENGTH_MAX = 80;
/** What the Host header of this very machine's browser says. */
const LOOPBACK_PATTERN = /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/;
/** Event streams open at once; each holds a connection for as long as a page is open. */
const STREAMS_MAX = 512;

export interface HttpServerParts extends Omit<RouteParts, "stream"> {
  /** HOST:PORT; port 0 takes a free one. */
  readonly listen: string;
  /** Folder of the built console. */
  readonly consoleFolder: string;
  /** Of this package. */
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Who may call what; null: everybody everything, and only this very machine's names are answered. */
  readonly access: Access | null;
  /** After how long a connection on which nothing moves is cut; absent: 120 s. */
  readonly stalledMs?: number;
  /** How far this process is behind; null while it keeps up. */
  readonly whyBehind: () => string | null;
}

export interface HttpServer {
  /** host:port it listens on. */
  readonly address: string;
  /** Ends every stream and connection. */
  stop(): Promise<void>;
}

/** @throws FarmError "unreachable" when the address cannot be taken */
export async function startHttpServer(parts: HttpServerParts): Promise<HttpServer> {
  const handler = new RequestHandler(parts);
  assert(
    parts.access !== null || isLoopback(parts.listen),
    `${parts.listen} to be loopback without TLS and keys`,
  );
  const server = serverFor(parts.access, (request, response) => {
    void handler.handle(request, response);
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.timeout = parts.stalledMs ?? STALLED_MS;
  const address = await listenOn(server, parts.listen);
  return {
    address,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Over TLS where there are keys; new files are taken for every connection that comes after them. */
function serverFor(
  access: Access | null,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const limits: ServerOptions = {
    headersTimeout: HEADERS_MS,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: IDLE_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
  };
  if (access === null) return createServer(limits, handle);
  const options = { ...limits, ...contextOptions(access.tls.current) };
  const server = createTlsServer({ ...options, handshakeTimeout: HEADERS_MS }, handle);
  access.tls.onChange((material) => server.setSecureContext(contextOptions(material)));
  return server;
}

function listenOn(server: Server, address: string): Promise<string> {
  const { host, port } = endpointOf(address);
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(new FarmError("unreachable", `cannot listen on ${address}: ${error.message}`));
    });
    server.listen(port, host, () => {
      const name = host.includes(":") ? `[${host}]` : host;
      resolve(`${name}:${(server.address() as AddressInfo).port}`);
    });
  });
}

class RequestHandler {
  readonly #parts: HttpServerParts;
  readonly #router: Router;
  readonly #console: ConsoleFiles;
  #streams = 0;

  constructor(parts: HttpServerParts) {
    this.#parts = parts;
    this.#console = new ConsoleFiles(parts.consoleFolder);
    const stream = (response: ServerResponse, source: EventSource) =>
      this.#stream(response, source);
    this.#router = new Router(farmRoutes({ ...parts, stream }));
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    setCommonHeaders(response);
    try {
      this.#refuseOtherSites(request);
      const { pathname, searchParams } = urlOf(request);
      if (pathname.startsWith("/v1/")) await this.#api(request, response, pathname, searchParams);
      else await this.#page(request, response, pathname, searchParams);
    } catch (error) {
      const { code, detail } = asFarmError(error);
      const isOurs = error instanceof FarmError;
      // A reader that went away in the middle of a file is no trouble of ours.
      const which = {
        path: request.url?.split("?")[0],
        request_id: response.getHeader("X-Request-Id"),
      };
      if (!isOurs && !response.destroyed) this.#parts.log.error({ err: error, ...which }, detail);
      else this.#parts.log.debug({ code, ...which }, detail);
      sendError(request, response, error);
    }
  }

  async #api(
    request: IncomingMessage,
    response: ServerResponse,
    pathname: string,
    query: URLSearchParams,
  ): Promise<void> {
    const { route, path } = this.#router.find(request.method ?? "", pathname);
    const pass = passOf(this.#parts.access, request, route.rpc);
    const { context } = pass;
    response.setHeader("X-Request-Id", context.requestId);
    let object = path["jobId"] ?? path["nodeId"] ?? "";
    let code = status.OK;
    try {
      const caller = pass.enter();
      if (route.isStream) {
        const unwatch = pass.onNoLongerGood(() => response.destroy());
        response.once("close", unwatch);
      }
      object = await route.handle({ request, response, caller, context, path, query });
    } catch (error) {
      code = toStatusJson(error).code;
      throw error;
    } finally {
      pass.note(object.slice(0, OBJECT_LENGTH_MAX), status[code]);
    }
  }

  async #page(
    request: IncomingMessage,
    response: ServerResponse,
    pathname: string,
    query: URLSearchParams,
  ): Promise<void> {
    if (request.method !== "GET" && request.method !== "HEAD") {
      throw new HttpRefusal(405, `${request.method} is not possible here; legal: GET, HEAD`);
    }
    switch (pathname) {
      case "/healthz":
        return sendJson(response, { status: "ok" });
      case "/version":
        return sendJson(response, { version: this.#parts.version, node: process.version });
      case "/readyz":
        return this.#readiness(response, query.has("verbose"));
      default:
        return this.#console.send(pathname, request, response);
    }
  }

  async #readiness(response: ServerResponse, isVerbose: boolean): Promise<void> {
    const { loop, blobs, whyBehind } = this.#parts;
    const { isReady, checks, nodes } = await checkReadiness(loop, blobs, whyBehind());
    const status = isReady ? "ok" : "not ready";
    sendJson(response, isVerbose ? { status, checks, nodes } : { status }, isReady ? 200 : 503);
  }

  #stream(response: ServerResponse, source: EventSource): void {
    if (this.#streams >= STREAMS_MAX) {
      throw new FarmError(
        "exhausted",
        `${STREAMS_MAX} event streams are open, the most there may be`,
      );
    }
    this.#streams += 1;
    response.once("close", () => {
      this.#streams -= 1;
    });
    serveEvents(response, source, this.#parts.clock);
  }

  /**
   * A page of another site may send requests to any address that its reader can reach. It is
   * told by Origin and Sec-Fetch-Site, and one that made its own name point here by Host.
   */
  #refuseOtherSites(request: IncomingMessage): void {
    const { host = "", origin } = request.headers;
    if (this.#parts.access === null && !LOOPBACK_PATTERN.test(host)) {
      throw new HttpRefusal(403, `"${host.slice(0, 80)}" is not this machine; use 127.0.0.1`);
    }
    const site = request.headers["sec-fetch-site"];
    const isForeign = origin !== undefined && origin.replace(/^https?:\/\//, "") !== host;
    const isCross = site === "cross-site" || site === "same-site";
    const isNavigation = request.headers["sec-fetch-mode"] === "navigate";
    if (isForeign || (isCross && !(isNavigation && request.method === "GET"))) {
      throw new HttpRefusal(403, "pages of another site may not use this farm");
    }
  }
}

function urlOf(request: IncomingMessage): URL {
  const target = request.url ?? "";
  if (!target.startsWith("/") || !URL.canParse(`http://farm${target}`)) {
    throw new FarmError("invalid-argument", "the address of the request cannot be read");
  }
  return new URL(`http://farm${target}`);
}
