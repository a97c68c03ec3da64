/**
 * @file Farms over TLS for tests: a folder of certificates, a file of keys, a coordinator and its
 * nodes as processes, all in one scratch folder.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFailed, vi } from "vitest";
import { FarmProcess } from "../../cli/farm-process.js";
import type { Entry as FarmEntry } from "../../client/entry.js";
import { FarmClient } from "../../client/farm-client.js";
import { type ApiKey, newApiKey } from "../../shared/access/api-key.js";
import { readKeyFileOrNone, writeKeyFile } from "../../shared/access/key-file.js";
import type { Quota } from "../../shared/access/quota.js";
import type { Scope } from "../../shared/access/scopes.js";
import { AuthorityFolder, type Issued } from "../../shared/adapters/tls/authority-folder.js";
import type { TlsPaths } from "../../shared/adapters/tls/tls-files.js";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CHECKPOINT, CLIP, Following, makeScratch, PICTURE } from "../farm/farm-harness.js";
import { descendantsOf, waitUntilGone } from "../farm/processes.js";

const READY_MS = 60_000;
const SILENCE_MS_MAX = 60_000;
/** What a process says is waited for this long. */
export const SAID_MS_MAX = 30_000;
const LOG_LINES_SHOWN = 15;
/** Of certificates that do not end while a test runs. */
export const HOUR_MS = 3_600_000;

/** What an owner was given: a token, and the key that the farm knows. */
export interface Given {
  readonly token: string;
  readonly key: ApiKey;
}

/** On which network a node is. */
export interface Place {
  readonly host: string;
  /** As FarmProcess takes it. */
  readonly launcher: readonly string[];
}

const HERE: Place = { host: "127.0.0.1", launcher: [] };

type Entry = "coordinator" | "gpu-node";

/** Servers between the processes of a farm, in the place of a folder and sockets. */
export interface Servers {
  readonly args: (entry: Entry) => readonly string[];
  readonly env: (entry: Entry) => Readonly<Record<string, string>>;
}

export class SecuredFarm {
  readonly scratch = makeScratch();
  readonly keysPath = join(this.scratch, "keys.json");
  readonly auditPath = join(this.scratch, "audit.jsonl");
  readonly nodes = new Map<string, FarmProcess>();
  coordinator: FarmProcess | null = null;
  address = "";
  readonly #clients: FarmClient[] = [];
  readonly #stopping = new AbortController();
  readonly #servers: Servers | null;
  #folder: AuthorityFolder | null = null;

  private constructor(servers: Servers | null) {
    this.#servers = servers;
  }

  /** Certificates and an empty file of keys; nothing runs yet. Whoever makes it has to stop it. */
  static async prepare(servers: Servers | null = null): Promise<SecuredFarm> {
    const farm = new SecuredFarm(servers);
    mkdirSync(join(farm.scratch, "data"));
    const root = { farm: "test", lifeMs: 24 * HOUR_MS, nowMs: Date.now };
    farm.#folder = await AuthorityFolder.create(join(farm.scratch, "certs"), root);
    writeKeyFile(farm.keysPath, { keys: [], quotas: new Map() });
    return farm;
  }

  /** A coordinator and so many nodes, "node-1" first. */
  static async start(nodeCount: number, servers: Servers | null = null): Promise<SecuredFarm> {
    const farm = await SecuredFarm.prepare(servers);
    try {
      await farm.startCoordinator();
      const ids = Array.from({ length: nodeCount }, (_, i) => `node-${i + 1}`);
      await Promise.all(ids.map((id) => farm.startNode(id)));
      await farm.nodesJoined(nodeCount);
      return farm;
    } catch (error) {
      farm.printLogs();
      await farm.stop();
      throw error;
    }
  }

  get certs(): AuthorityFolder {
    return this.#folder!;
  }

  /**
   * @param lifeMs how long its certificate is good, from now
   * @param host where it listens, and whom its certificate names
   */
  async startCoordinator(lifeMs = HOUR_MS, host = "127.0.0.1"): Promise<void> {
    const hosts = [host];
    const { paths } = await this.certs.issue({ role: "coordinator", name: "" }, { lifeMs, hosts });
    this.coordinator = this.launch("coordinator", "coordinator", [
      ...["--listen", this.address || `${host}:0`, "--data", join(this.scratch, "data")],
      ...tlsFlags(paths),
      ...(this.#servers?.args("coordinator") ?? []),
      ...["--api-keys", this.keysPath, "--audit", this.auditPath],
    ]);
    this.address = (await this.coordinator.ready).address;
  }

  /** A node that shows its own certificate, or the one given. */
  async startNode(nodeId: string, issued?: Issued, place: Place = HERE): Promise<FarmProcess> {
    const shown = issued ?? (await this.issueNode(nodeId));
    const local = [
      "--blob-dir",
      join(this.scratch, "data/blobs"),
      "--bus-listen",
      `${place.host}:0`,
    ];
    const args = [
      ...["--coordinator", this.address, "--checkpoint", CHECKPOINT, "--node-id", nodeId],
      ...tlsFlags(shown.paths),
      ...(this.#servers?.args("gpu-node") ?? local),
    ];
    const node = this.launch(nodeId, "gpu-node", args, place.launcher);
    this.nodes.set(nodeId, node);
    await node.ready;
    return node;
  }

  issueNode(nodeId: string, lifeMs = HOUR_MS): Promise<Issued> {
    return this.certs.issue({ role: "node", name: nodeId }, { lifeMs });
  }

  /** A key in the farm's file; the coordinator sees it within a second. */
  giveKey(owner: string, scopes: readonly Scope[], expiresAtMs: number | null = null): Given {
    const given = newApiKey({ owner, scopes, nowMs: Date.now(), expiresAtMs });
    this.changeKeys((keys) => [...keys, given.key]);
    return given;
  }

  changeKeys(change: (keys: readonly ApiKey[]) => readonly ApiKey[]): void {
    const file = readKeyFileOrNone(this.keysPath);
    writeKeyFile(this.keysPath, { ...file, keys: change(file.keys) });
  }

  setQuota(owner: string, quota: Quota): void {
    const file = readKeyFileOrNone(this.keysPath);
    writeKeyFile(this.keysPath, { ...file, quotas: new Map(file.quotas).set(owner, quota) });
  }

  revoke({ key }: Given): void {
    const revokedAtMs = Date.now();
    this.changeKeys((keys) => keys.map((k) => (k.id === key.id ? { ...k, revokedAtMs } : k)));
  }

  /** How a user of this farm comes in. */
  entry(token: string | null, pair: Issued | null = null): FarmEntry {
    const read = (path: string) => readFileSync(path, "utf8");
    return {
      tls: {
        ca: read(this.certs.caPath),
        pair: pair && { cert: read(pair.paths.cert), key: read(pair.paths.key) },
      },
      token,
    };
  }

  client(token: string | null, pair: Issued | null = null): FarmClient {
    const client = new FarmClient(this.address, this.entry(token, pair));
    this.#clients.push(client);
    return client;
  }

  /** A client whose key is known to the coordinator by now. */
  async clientOf(owner: string, scopes: readonly Scope[]): Promise<FarmClient> {
    const client = this.client(this.giveKey(owner, scopes).token);
    await vi.waitFor(() => client.getFarm(), { timeout: 10_000 });
    return client;
  }

  async nodesJoined(count: number): Promise<void> {
    const client = await this.clientOf("operator", ["read"]);
    const connected = async () => (await client.getFarm()).nodes.filter((n) => n.connected).length;
    await vi.waitFor(async () => expect(await connected()).toBe(count), { timeout: 30_000 });
  }

  follow(client: FarmClient, jobId: string): Following {
    const signals = [this.#stopping.signal, AbortSignal.timeout(SILENCE_MS_MAX)];
    return new Following(client.watchJob(jobId, AbortSignal.any(signals)));
  }

  /** Lines of the audit log. */
  audited(): Record<string, string>[] {
    const lines = readFileSync(this.auditPath, "utf8")
      .split("\n")
      .filter((line) => line !== "");
    return lines.map((line) => JSON.parse(line) as Record<string, string>);
  }

  /** Holds the runtime child of a node in whatever it does; the returned function lets it go. */
  holdRuntime(nodeId: string): () => void {
    const [child] = descendantsOf(this.nodes.get(nodeId)!.pid!);
    process.kill(child!.pid, "SIGSTOP");
    return () => void process.kill(child!.pid, "SIGCONT");
  }

  /** Waits until a process has said it so many times. */
  async said(name: string, text: string, times = 1): Promise<void> {
    const count = () => this.logOf(name).split(text).length - 1;
    await vi.waitFor(() => expect(count()).toBeGreaterThanOrEqual(times), { timeout: SAID_MS_MAX });
  }

  logOf(name: string): string {
    return readFileSync(join(this.scratch, `${name}.log`), "utf8");
  }

  launch(
    name: string,
    entry: Entry,
    args: readonly string[],
    launcher: readonly string[] = [],
  ): FarmProcess {
    const logPath = join(this.scratch, `${name}.log`);
    const env = this.#servers?.env(entry) ?? {};
    return new FarmProcess({ name, entry, args, launcher, logPath, env, readyMs: READY_MS });
  }

  explainFailure(): void {
    onTestFailed(() => this.printLogs());
  }

  printLogs(): void {
    for (const name of ["coordinator", ...this.nodes.keys()]) {
      const lines = this.logOf(name).trimEnd().split("\n").slice(-LOG_LINES_SHOWN);
      console.error([`-- ${name}`, ...lines.map((line) => line.slice(0, 400))].join("\n"));
    }
  }

  /** Ends every process and removes the folder. */
  async stop(): Promise<void> {
    const mine = descendantsOf(process.pid).filter((p) => p.command.includes(this.scratch));
    const pids = new Set(mine.map(({ pid }) => pid));
    this.#stopping.abort();
    for (const client of this.#clients) client.close();
    await Promise.all([...this.nodes.values()].map((node) => node.stop()));
    await this.coordinator?.stop();
    await waitUntilGone(({ pid }) => pids.has(pid));
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

export function tlsFlags({ ca, cert, key }: TlsPaths): string[] {
  return ["--tls-ca", ca, "--tls-cert", cert, "--tls-key", key];
}

/** Sends a job of the test picture under the name of the client's key. */
export async function submit(
  client: FarmClient,
  parameters: Partial<JobParameters> = {},
  requestId: string = randomUUID(),
): Promise<JobView> {
  const image = await client.upload(readFileSync(PICTURE));
  return client.createJob({
    images: [image],
    parameters: { ...CLIP, ...parameters },
    modelDigest: "",
    requestId,
    options: { ...JOB_OPTIONS_DEFAULT, owner: "" },
  });
}
