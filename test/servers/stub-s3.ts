/**
 * @file An S3 of a hundred lines that misbehaves as told, for what no real server does on demand.
 *
 * It checks no signature. Path style, one bucket.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { S3Location } from "../../shared/adapters/s3/s3-location.js";

/** What happens to one request instead of the right answer. */
export type StubFault =
  /** An error of this status, with a code in its body. */
  | { readonly kind: "error"; readonly status: number; readonly code: string }
  /** No answer, ever. */
  | { readonly kind: "silence" }
  /** It is carried out, and the connection is cut before the answer. */
  | { readonly kind: "lost-answer" }
  /** Only so many bytes of the body come, then the connection is cut. */
  | { readonly kind: "cut-body"; readonly bytes: number }
  /** A byte of the body is another one. */
  | { readonly kind: "flipped-body"; readonly at: number };

/** Asked for each request; null is a right answer. */
export type StubRule = (request: {
  readonly method: string;
  readonly name: string;
  /** Requests so far, this one included. */
  readonly count: number;
}) => StubFault | null;

interface StubObject {
  readonly bytes: Buffer;
  readonly metadata: Readonly<Record<string, string>>;
}

const BUCKET = "stub";

export class StubS3 {
  readonly objects = new Map<string, StubObject>();
  rule: StubRule = () => null;
  /** Whether it keeps If-None-Match; else it takes no notice, as older servers do. */
  isConditional = true;
  requestCount = 0;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<StubS3> {
    const stub = new StubS3();
    stub.#server.listen(0, "127.0.0.1");
    await once(stub.#server, "listening");
    return stub;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  location(): S3Location {
    const endpoint = `http://${this.address}`;
    const where = { bucket: BUCKET, prefix: "p", endpoint, publicEndpoint: endpoint };
    return { ...where, region: "us-east-1", style: "path", ca: null };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requestCount += 1;
    const { method = "" } = request;
    const url = new URL(request.url ?? "/", "http://stub");
    const name = decodeURIComponent(url.pathname.slice(`/${BUCKET}/`.length));
    const fault = this.rule({ method, name, count: this.requestCount });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (fault?.kind === "silence") return;
    if (fault?.kind === "error") {
      sendError(response, fault.status, fault.code);
      return;
    }
    if (fault) response.setHeader("x-stub-fault", fault.kind);
    if (url.searchParams.has("list-type")) this.#list(url, response);
    else if (url.searchParams.has("uploads")) sendXml(response, "<ListMultipartUploadsResult/>");
    else if (method === "PUT") this.#put(name, Buffer.concat(chunks), request, response, fault);
    else if (method === "DELETE") {
      this.objects.delete(name);
      response.writeHead(204).end();
    } else this.#get(name, request, response, fault);
  }

  #put(
    name: string,
    bytes: Buffer,
    request: IncomingMessage,
    response: ServerResponse,
    fault: StubFault | null,
  ): void {
    if (this.isConditional && request.headers["if-none-match"] === "*" && this.objects.has(name)) {
      sendError(response, 412, "PreconditionFailed");
      return;
    }
    const entries = Object.entries(request.headers).filter(([key]) =>
      key.startsWith("x-amz-meta-"),
    );
    const metadata = Object.fromEntries(entries.map(([key, value]) => [key, String(value)]));
    this.objects.set(name, { bytes, metadata });
    if (fault?.kind === "lost-answer") response.destroy();
    else response.writeHead(200, { etag: '"1"' }).end();
  }

  #get(
    name: string,
    request: IncomingMessage,
    response: ServerResponse,
    fault: StubFault | null,
  ): void {
    const found = this.objects.get(name);
    if (!found) {
      sendError(response, 404, "NoSuchKey");
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const body = Buffer.from(found.bytes.subarray(from));
    const last = "Mon, 01 Jan 2024 00:00:00 GMT";
    const headers = { "content-length": body.length, etag: '"1"', "last-modified": last };
    response.writeHead(from > 0 ? 206 : 200, { ...headers, ...found.metadata });
    if (fault?.kind === "flipped-body") body[fault.at]! ^= 1;
    if (request.method === "HEAD") response.end();
    else if (fault?.kind === "cut-body") {
      response.write(body.subarray(0, fault.bytes), () => setImmediate(() => response.destroy()));
    } else response.end(body);
  }

  #list(url: URL, response: ServerResponse): void {
    const prefix = url.searchParams.get("prefix") ?? "";
    const after = url.searchParams.get("start-after") ?? "";
    const max = Number(url.searchParams.get("max-keys"));
    const names = [...this.objects.keys()].sort();
    const wanted = names.filter((name) => name.startsWith(prefix) && name > after);
    const contents = wanted.slice(0, max).map((name) => {
      const { bytes } = this.objects.get(name)!;
      const times = "<LastModified>2024-01-01T00:00:00.000Z</LastModified>";
      return `<Contents><Key>${name}</Key><Size>${bytes.length}</Size>${times}</Contents>`;
    });
    const more = `<IsTruncated>${wanted.length > max}</IsTruncated>`;
    sendXml(response, `<ListBucketResult>${more}${contents.join("")}</ListBucketResult>`);
  }
}

function sendXml(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": "application/xml" }).end(text);
}

function sendError(response: ServerResponse, status: number, code: string): void {
  const body = `<Error><Code>${code}</Code><Message>told to</Message></Error>`;
  response.writeHead(status, { "content-type": "application/xml" }).end(body);
}
