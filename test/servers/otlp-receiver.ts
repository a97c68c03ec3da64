/** @file A collector of OpenTelemetry's for tests: takes OTLP/HTTP in JSON and keeps the spans. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

type Facts = Readonly<Record<string, string | number | boolean>>;

/** A span as it came. */
export interface ReceivedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** "" of one that stands under none. */
  readonly parentSpanId: string;
  /** Ids of the spans that it links to. */
  readonly links: readonly string[];
  readonly facts: Facts;
  /** service.name of its process. */
  readonly service: string;
  /** "" where it ended well. */
  readonly failure: string;
}

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, string | number | boolean>>;
}

interface TraceRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        readonly name: string;
        readonly traceId: string;
        readonly spanId: string;
        readonly parentSpanId?: string;
        readonly links: readonly { readonly spanId: string }[];
        readonly attributes: readonly Attribute[];
        readonly status: { readonly message?: string };
      }[];
    }[];
  }[];
}

export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  /** Requests of any kind. */
  requests = 0;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => {
        this.requests += 1;
        if (request.url === "/v1/traces") this.#take(Buffer.concat(pieces).toString("utf8"));
        response.writeHead(200, { "content-type": "application/json" }).end("{}");
      });
    });
  }

  static async start(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  #take(body: string): void {
    for (const { resource, scopeSpans } of (JSON.parse(body) as TraceRequest).resourceSpans) {
      const service = String(factsOf(resource.attributes)["service.name"] ?? "");
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
        const { name, traceId, spanId, parentSpanId = "", attributes, status } = span;
        this.spans.push({
          ...{ name, traceId, spanId, parentSpanId, service, facts: factsOf(attributes) },
          links: span.links.map((link) => link.spanId),
          failure: status.message ?? "",
        });
      }
    }
  }
}

function factsOf(attributes: readonly Attribute[]): Facts {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [kind, given] = Object.entries(value)[0] ?? ["", ""];
      return [key, kind === "intValue" ? Number(given) : given];
    }),
  );
}
