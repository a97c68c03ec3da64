/** @file A farm whose blobs lie in a real S3 store, reached through a proxy. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFailed, vi } from "vitest";
import { FarmProcess } from "../../cli/farm-process.js";
import { FarmClient } from "../../client/farm-client.js";
import type { S3KeyPair } from "../../shared/adapters/s3/s3-location.js";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CHECKPOINT, CLIP, Following, PICTURE } from "../farm/farm-harness.js";
import { TcpProxy } from "../farm/tcp-proxy.js";
import { BUCKET, type TestS3Server } from "../servers/s3-server.js";

const READY_MS = 60_000;
/** A store that is away for a while, and the pause before it is asked again. */
const SILENCE_MS_MAX = 90_000;
const LOG_LINES_SHOWN = 20;

export class S3Farm {
  /** Between the farm's processes and the store. */
  readonly proxy: TcpProxy;
  /** Between a node and that proxy. */
  readonly nodeProxies = new Map<string, TcpProxy>();
  readonly #folder = realpathSync(mkdtempSync(join(tmpdir(), "s3-farm-")));
  readonly #server: TestS3Server;
  readonly #processes = new Map<string, FarmProcess>();
  #client: FarmClient | null = null;
  /** Where the JSON API is. */
  httpUrl = "";

  private constructor(server: TestS3Server, proxy: TcpProxy) {
    this.#server = server;
    this.proxy = proxy;
  }

  static async start(server: TestS3Server, nodeCount: number): Promise<S3Farm> {
    const farm = new S3Farm(server, await TcpProxy.start(server.address));
    try {
      const blobs = ["--blobs", farm.blobsUrl];
      const at = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
      const args = [...at, "--data", join(farm.#folder, "data"), ...blobs];
      const { address, httpAddress } = await farm.#launch("coordinator", "coordinator", args).ready;
      farm.#client = new FarmClient(address);
      farm.httpUrl = `http://${httpAddress}`;
      const nodeIds = Array.from({ length: nodeCount }, (_, i) => `node-${i + 1}`);
      await Promise.all(nodeIds.map((nodeId) => farm.#startNode(nodeId, address)));
      await vi.waitFor(
        async () => expect((await farm.client.getFarm()).nodes).toHaveLength(nodeCount),
        { timeout: READY_MS },
      );
      return farm;
    } catch (error) {
      farm.printLogs();
      await farm.stop();
      throw error;
    }
  }

  get client(): FarmClient {
    return this.#client!;
  }

  get blobsUrl(): string {
    return s3Url(this.#server, this.proxy.address);
  }

  async submit(parameters: Partial<JobParameters> = {}): Promise<JobView> {
    const image = await this.client.upload(readFileSync(PICTURE));
    return this.client.createJob({
      images: [image],
      parameters: { ...CLIP, ...parameters },
      ...{ modelDigest: "", requestId: randomUUID(), options: JOB_OPTIONS_DEFAULT },
    });
  }

  follow(jobId: string): Following {
    return new Following(this.client.watchJob(jobId, AbortSignal.timeout(SILENCE_MS_MAX)));
  }

  explainFailure(): void {
    onTestFailed(() => this.printLogs());
  }

  printLogs(): void {
    for (const name of this.#processes.keys()) {
      const lines = readFileSync(this.#logPath(name), "utf8").trimEnd().split("\n");
      const last = lines.slice(-LOG_LINES_SHOWN).map((line) => line.slice(0, 300));
      console.error([`-- ${name}`, ...last].join("\n"));
    }
  }

  async #startNode(nodeId: string, coordinator: string): Promise<void> {
    const proxy = await TcpProxy.start(this.proxy.address);
    this.nodeProxies.set(nodeId, proxy);
    const args = ["--coordinator", coordinator, "--checkpoint", CHECKPOINT, "--node-id", nodeId];
    args.push("--blobs", s3Url(this.#server, proxy.address));
    await this.#launch(nodeId, "gpu-node", args).ready;
  }

  async stop(): Promise<void> {
    this.#client?.close();
    const coordinator = this.#processes.get("coordinator");
    const nodes = [...this.#processes.values()].filter((each) => each !== coordinator);
    await Promise.all(nodes.map((each) => each.stop()));
    await coordinator?.stop();
    await Promise.all([...this.nodeProxies.values()].map((proxy) => proxy.stop()));
    await this.proxy.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #launch(name: string, entry: "coordinator" | "gpu-node", args: readonly string[]): FarmProcess {
    const env = s3Variables(this.#server, entry);
    const logPath = this.#logPath(name);
    const started = new FarmProcess({ name, entry, args, logPath, env, readyMs: READY_MS });
    this.#processes.set(name, started);
    return started;
  }

  #logPath(name: string): string {
    return join(this.#folder, `${name}.log`);
  }
}

/** What `--blobs` of a farm on the server is. */
export function s3Url(server: TestS3Server, address = server.address): string {
  const { endpoint, prefix } = server.location(address);
  return `s3://${BUCKET}/${prefix}?endpoint=${endpoint}`;
}

/** The keys that a program of a farm has of a server that was started with S3_ROLES. */
export function s3Variables(
  server: TestS3Server,
  entry: "coordinator" | "gpu-node",
): Record<string, string> {
  const own = server.credentials(entry === "coordinator" ? "coordinator" : "node");
  return {
    ...keyVariables("RENDERFARM_S3", own),
    ...(entry === "coordinator" &&
      keyVariables("RENDERFARM_S3_SIGNER", server.credentials("signer"))),
  };
}

function keyVariables(prefix: string, keys: S3KeyPair): Record<string, string> {
  const { accessKey, secretKey, sessionToken } = keys;
  return {
    ...{ [`${prefix}_ACCESS_KEY`]: accessKey, [`${prefix}_SECRET_KEY`]: secretKey },
    ...(sessionToken === null ? {} : { [`${prefix}_SESSION_TOKEN`]: sessionToken }),
  };
}
