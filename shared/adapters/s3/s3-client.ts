/**
 * @file The requests that we make of an S3 server; the only module that knows the `minio` package.
 *
 * The package has no deadlines, and a request that it retries by itself leaks its socket. So each
 * call here takes an AbortSignal, that reaches the package's requests through our own transport, and
 * every failure is an S3Failure that says whether to try again. Bodies are Buffers, never streams: a
 * put whose source fails would not settle.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { ClientRequest, IncomingMessage } from "node:http";
import http from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { Client, IamAwsProvider } from "minio";
import { S3Failure, toS3Failure } from "./s3-failure.js";
import { hostOf, type S3Credentials, type S3Location } from "./s3-location.js";

/** An object as it comes: what its headers say, then its bytes. */
export interface S3Object {
  /** Bytes from the offset to the end; null when the server does not say. */
  readonly length: number | null;
  readonly body: Readable;
}

/** What a server knows of an object without its bytes. */
export interface S3Stat {
  readonly size: number;
  /** Our own headers at its put, without "x-amz-meta-". */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface S3Page {
  readonly objects: readonly { readonly name: string; size: number; putAtMs: number }[];
  /** More follow after the last name of this page. */
  readonly hasMore: boolean;
}

export interface S3Part {
  readonly part: number;
  readonly etag: string;
}

interface Call {
  readonly signal: AbortSignal;
  /** The latest answer's status; null before one. */
  status: number | null;
}

/** A connection that takes longer goes nowhere; the rest of a call's time is for the answer. */
const CONNECT_MS_MAX = 5_000;
/** More connections would only share the same line. */
const SOCKETS_MAX = 32;
/** Names in one page of a listing; the limit of S3. */
const PAGE_SIZE = 1_000;

export class S3Client {
  readonly #bucket: string;
  readonly #calls = new AsyncLocalStorage<Call>();
  readonly #isTls: boolean;
  #agent: http.Agent;
  #client: Client;

  constructor(location: S3Location, credentials: S3Credentials) {
    this.#bucket = location.bucket;
    this.#isTls = location.endpoint.startsWith("https:");
    this.#agent = agentOf(location);
    this.#client = this.#clientOf(location, credentials);
  }

  /** Calls from now on use other keys and roots; those under way keep their connections. */
  renew(location: S3Location, credentials: S3Credentials): void {
    retire(this.#agent);
    this.#agent = agentOf(location);
    this.#client = this.#clientOf(location, credentials);
  }

  #clientOf(location: S3Location, credentials: S3Credentials): Client {
    const endpoint = new URL(location.endpoint);
    const transport = { request: this.#request.bind(this) };
    return new Client({
      endPoint: hostOf(endpoint),
      port: Number(endpoint.port) || (this.#isTls ? 443 : 80),
      useSSL: this.#isTls,
      region: location.region,
      pathStyle: location.style === "path",
      transport: transport as unknown as NonNullable<MinioOptions["transport"]>,
      transportAgent: this.#agent,
      retryOptions: { disableRetry: true },
      ...credentialOptions(credentials),
    });
  }

  /** Closes idle connections; the client takes no more calls. */
  close(): void {
    this.#agent.destroy();
  }

  /** @param sha256 of the bytes, hex; the server checks it where the connection has no TLS */
  async put(
    name: string,
    bytes: Buffer,
    headers: Readonly<Record<string, string>>,
    { sha256, signal }: { readonly sha256: string; readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#run(signal, async () => {
      const answer = await this.#client.makeRequestStreamAsync(
        {
          method: "PUT",
          bucketName: this.#bucket,
          objectName: name,
          headers: { ...headers, "content-length": bytes.length },
        },
        bytes,
        this.#isTls ? "" : sha256,
        [200],
        "",
      );
      await drained(answer);
    });
  }

  /** @throws S3Failure, of status 404 when there is no such object */
  async get(name: string, offset: number, signal: AbortSignal): Promise<S3Object> {
    return this.#run(signal, async () => {
      const body = await this.#client.getPartialObject(this.#bucket, name, offset);
      const length = (body as IncomingMessage).headers["content-length"];
      return { length: length === undefined ? null : Number(length), body };
    });
  }

  /** Null when there is no such object. */
  async stat(name: string, signal: AbortSignal): Promise<S3Stat | null> {
    try {
      return await this.#run(signal, async () => {
        const { size, metaData } = await this.#client.statObject(this.#bucket, name);
        return { size, metadata: metaData as Record<string, string> };
      });
    } catch (error) {
      if (error instanceof S3Failure && error.status === 404) return null;
      throw error;
    }
  }

  /** Also when there is no such object. */
  async remove(name: string, signal: AbortSignal): Promise<void> {
    await this.#run(signal, () => this.#client.removeObject(this.#bucket, name));
  }

  /** A page of the names that begin with the prefix, in the order of their bytes, after `after`. */
  async page(prefix: string, after: string, signal: AbortSignal): Promise<S3Page> {
    return this.#run(signal, async () => {
      const query = [this.#bucket, prefix, "", "", PAGE_SIZE, after] as const;
      const { objects, isTruncated } = await this.#client.listObjectsV2Query(...query);
      return {
        hasMore: isTruncated,
        objects: objects.flatMap(({ name, size, lastModified }) =>
          name === undefined ? [] : [{ name, size, putAtMs: lastModified.getTime() }],
        ),
      };
    });
  }

  /** Begins an object of several parts; returns the upload's id. */
  async beginUpload(name: string, signal: AbortSignal): Promise<string> {
    return this.#run(signal, () => this.#client.initiateNewMultipartUpload(this.#bucket, name, {}));
  }

  async putPart(
    upload: { readonly name: string; readonly id: string; readonly part: number },
    bytes: Buffer,
    signal: AbortSignal,
  ): Promise<S3Part> {
    return this.#run(signal, async () => {
      const { name, id, part } = upload;
      const config = {
        ...{ bucketName: this.#bucket, objectName: name, uploadID: encodeURIComponent(id) },
        ...{ partNumber: part, headers: {} },
      };
      const { etag } = await this.#client.uploadPart(config, bytes);
      return { part, etag };
    });
  }

  /** Makes the object of its parts; before that, nobody sees it. */
  async finishUpload(
    upload: { readonly name: string; readonly id: string },
    parts: readonly S3Part[],
    signal: AbortSignal,
  ): Promise<void> {
    const { name, id } = upload;
    await this.#run(signal, () =>
      this.#client.completeMultipartUpload(this.#bucket, name, id, [...parts]),
    );
  }

  async abandonUpload(
    { name, id }: { readonly name: string; readonly id: string },
    signal: AbortSignal,
  ): Promise<void> {
    const safeId = encodeURIComponent(id);
    await this.#run(signal, () => this.#client.abortMultipartUpload(this.#bucket, name, safeId));
  }

  /** The first page of uploads that were begun and neither finished nor abandoned. */
  async openUploads(
    prefix: string,
    signal: AbortSignal,
  ): Promise<readonly { readonly name: string; readonly id: string; readonly sinceMs: number }[]> {
    return this.#run(signal, async () => {
      const { uploads } = await this.#client.listIncompleteUploadsQuery(
        ...([this.#bucket, prefix, "", "", ""] as const),
      );
      return uploads.map(({ key, uploadId, initiated }) => ({
        ...{ name: key, id: uploadId, sinceMs: initiated.getTime() },
      }));
    });
  }

  /** A URL that anybody may read the object by for a while; asks nobody. */
  async presignGet(
    name: string,
    seconds: number,
    headers: Readonly<Record<string, string>>,
  ): Promise<string> {
    return this.#client.presignedGetObject(this.#bucket, name, seconds, { ...headers });
  }

  async #run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const call: Call = { signal, status: null };
    try {
      return await this.#calls.run(call, () => orAborted(work(), signal));
    } catch (error) {
      throw toS3Failure(error, call.status, signal.aborted);
    }
  }

  /** The package's transport: its request, with the call's deadline on it. */
  #request(
    options: https.RequestOptions,
    onResponse: (response: IncomingMessage) => void,
  ): ClientRequest {
    const call = this.#calls.getStore();
    const signal = call?.signal;
    const request = (this.#isTls ? https : http).request(
      { ...options, ...(signal ? { signal } : {}) },
      (response) => {
        if (call) call.status = response.statusCode ?? null;
        // The package drops such an answer unread; its connection would never be free again.
        if ((response.statusCode ?? 0) >= 400) setImmediate(() => response.resume());
        onResponse(response);
      },
    );
    request.on("socket", (socket: Socket) => limitConnecting(socket, request));
    return request;
  }
}

function agentOf({ endpoint, ca }: S3Location): http.Agent {
  const options = { keepAlive: true, maxSockets: SOCKETS_MAX };
  if (!endpoint.startsWith("https:")) return new http.Agent(options);
  return new https.Agent({ ...options, ...(ca === null ? {} : { ca }) });
}

/** Its connections that are busy end with what they do. */
function retire(agent: http.Agent): void {
  agent.maxFreeSockets = 0;
  for (const idle of Object.values(agent.freeSockets).flat()) idle?.destroy();
}

type MinioOptions = ConstructorParameters<typeof Client>[0];

function credentialOptions(
  credentials: S3Credentials,
): Pick<MinioOptions, "accessKey" | "secretKey" | "sessionToken" | "credentialsProvider"> {
  if (credentials.kind === "role") return { credentialsProvider: new IamAwsProvider({}) };
  const { accessKey, secretKey, sessionToken } = credentials;
  return { accessKey, secretKey, ...(sessionToken === null ? {} : { sessionToken }) };
}

function limitConnecting(socket: Socket, request: ClientRequest): void {
  if (!socket.connecting) return;
  const timer = setTimeout(
    () => request.destroy(new Error(`no connection within ${CONNECT_MS_MAX} ms`)),
    CONNECT_MS_MAX,
  );
  const stop = () => clearTimeout(timer);
  socket.once("connect", stop);
  socket.once("close", stop);
}

/** Also ends when the work itself does not heed the signal. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
    aborted.catch(() => {});
  }
}

async function drained(answer: IncomingMessage): Promise<void> {
  for await (const _ of answer);
}
