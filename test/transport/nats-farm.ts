/**
 * @file A farm on a real nats-server: coordinators that lead or stand by, nodes that exchange halves
 * by the server, and a proxy between every process and the server. Blobs lie in a folder, or in a
 * real S3.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFailed, vi } from "vitest";
import { FarmProcess } from "../../cli/farm-process.js";
import { FarmClient } from "../../client/farm-client.js";
import type { NatsRole } from "../../shared/adapters/nats/nats-names.js";
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { CHECKPOINT, CLIP, Following, PICTURE } from "../farm/farm-harness.js";
import { TcpProxy } from "../farm/tcp-proxy.js";
import { freePort } from "../servers/free-ports.js";
import { TEST_FARM, TestNatsServer } from "../servers/nats-server.js";
import type { TestS3Server } from "../servers/s3-server.js";
import { s3Url, s3Variables } from "./s3-farm.js";

const READY_MS = 60_000;
/** Longer than a lease, a restart and the steps that are made again. */
const SILENCE_MS_MAX = 90_000;
const LOG_LINES_SHOWN = 25;

export interface Member {
  readonly name: string;
  /** Between it and the NATS server. */
  readonly broker: TcpProxy;
  readonly logPath: string;
  process: FarmProcess;
}

export interface CoordinatorMember extends Member {
  readonly address: string;
  readonly client: FarmClient;
  /** Resolves when it leads, and when it begins to stand by. */
  readonly said: Promise<"ready" | "standby">;
}

export interface NatsFarmOptions {
  /** Default: one of the farm's own. They are closed with the farm. */
  readonly servers?: readonly TestNatsServer[];
  /** Where blobs lie, with the users of S3_ROLES; default: a folder. It outlives the farm. */
  readonly store?: TestS3Server | null;
}

export class NatsFarm {
  /** The only server, or the first of a cluster. */
  readonly server: TestNatsServer;
  /** More than one: processes reach all of them, without a proxy. */
  readonly servers: readonly TestNatsServer[];
  readonly folder: string;
  readonly #store: TestS3Server | null;
  readonly coordinators: CoordinatorMember[] = [];
  readonly nodes: Member[] = [];
  readonly #addresses: string[] = [];
  /** Logs of a farm that has stopped, by path. */
  readonly #lastWords = new Map<string, string>();
  /** The uploaded picture. */
  readonly #images: BlobRef[] = [];
  #uploading: Promise<unknown> | null = null;
  /** Knows every coordinator, as users of a farm with a standby do. */
  #client: FarmClient | null = null;
  /** When a coordinator answered last. */
  #heardMs = 0;

  private constructor(
    servers: readonly TestNatsServer[],
    folder: string,
    store: TestS3Server | null,
  ) {
    this.server = servers[0]!;
    this.servers = servers;
    this.folder = folder;
    this.#store = store;
  }

  /** Where so many coordinators may listen is known from the start; none is started yet. */
  static async start(
    coordinatorCount = 1,
    { servers, store = null }: NatsFarmOptions = {},
  ): Promise<NatsFarm> {
    const reached = servers ?? [await TestNatsServer.start()];
    const folder = realpathSync(mkdtempSync(join(tmpdir(), "nats-farm-")));
    const farm = new NatsFarm(reached, folder, store);
    mkdirSync(join(folder, "blobs"));
    writeFileSync(join(folder, "ca.crt"), farm.server.ca);
    for (let i = 0; i < coordinatorCount; i++) {
      farm.#addresses.push(`127.0.0.1:${await freePort()}`);
    }
    farm.#client = new FarmClient(farm.#addresses.join(","));
    return farm;
  }

  /** Starts a coordinator, again where it was killed; it may lead or stand by. */
  async startCoordinator(index = 0): Promise<CoordinatorMember> {
    const address = this.#addresses[index]!;
    const known = this.coordinators[index];
    const name = `coordinator-${index}`;
    const broker = known?.broker ?? (await TcpProxy.start(this.server.address));
    const data = join(this.folder, name);
    const args = ["--listen", address, "--data", data, "--blobs", this.#blobsUrl];
    const replicas = `replicas=${this.servers.length}`;
    const journal = `${TEST_FARM.farm}?ca=${this.folder}/ca.crt&${replicas}`;
    args.push("--journal", `nats://${this.#reachedBy(broker)}/${journal}`);
    let hear: (kind: "ready" | "standby") => void = () => {};
    const said = new Promise<"ready" | "standby">((resolve) => {
      hear = resolve;
    });
    const process = this.#launch(name, "coordinator", args, (message) => {
      const { kind } = message as { kind?: string };
      if (kind === "ready" || kind === "standby") hear(kind);
    });
    const client = known?.client ?? new FarmClient(address);
    const member = { name, address, broker, client, said, process, logPath: this.#logPath(name) };
    this.coordinators[index] = member;
    await Promise.race([said, process.ready]);
    return member;
  }

  async startNode(nodeId: string): Promise<Member> {
    const known = this.nodes.find(({ name }) => name === nodeId);
    const broker = known?.broker ?? (await TcpProxy.start(this.server.address));
    const args = ["--coordinator", this.#addresses.join(","), "--node-id", nodeId];
    args.push("--checkpoint", CHECKPOINT, "--blobs", this.#blobsUrl);
    args.push("--bus", `nats://${this.#reachedBy(broker)}?ca=${this.folder}/ca.crt`);
    const process = this.#launch(nodeId, "gpu-node", args);
    const member = { name: nodeId, broker, process, logPath: this.#logPath(nodeId) };
    if (known) known.process = process;
    else this.nodes.push(member);
    await process.ready;
    return known ?? member;
  }

  /** Index of the coordinator that leads: the others do not listen. */
  leader(): Promise<number> {
    return this.insist(async () => {
      const asked = await Promise.allSettled(
        this.coordinators.map((each) => each.client.getFarm()),
      );
      const index = asked.findIndex(({ status }) => status === "fulfilled");
      if (index < 0) throw new FarmError("unreachable", "no coordinator leads");
      return index;
    });
  }

  /** Waits until a coordinator counts on exactly these many nodes. */
  async nodesJoined(count: number, { client }: CoordinatorMember): Promise<void> {
    await vi.waitFor(
      async () => {
        const { nodes } = await client.getFarm();
        expect(nodes.filter(({ connected }) => connected)).toHaveLength(count);
      },
      { timeout: READY_MS, interval: 100 },
    );
  }

  /** A request for a clip of the picture, which the first `submit` uploads. */
  request(parameters: Partial<JobParameters> = {}, requestId: string = randomUUID()) {
    return {
      parameters: { ...CLIP, ...parameters },
      modelDigest: "",
      requestId,
      options: JOB_OPTIONS_DEFAULT,
      images: this.#images,
    };
  }

  /** Sends a job to whoever leads, again while nobody answers; one request id is one job. */
  async submit(parameters?: Partial<JobParameters>, requestId?: string): Promise<JobView> {
    const request = this.request(parameters, requestId);
    const upload = (client: FarmClient) => client.upload(readFileSync(PICTURE));
    this.#uploading ??= this.insist(upload).then((image) => this.#images.push(image));
    await this.#uploading;
    return this.insist((client) => client.createJob(request));
  }

  /** Asks whoever leads until it answers; refusals for want of room are met by patience. */
  async insist<A>(call: (client: FarmClient) => Promise<A>): Promise<A> {
    const sinceMs = performance.now();
    for (;;) {
      try {
        const answer = await call(this.#client!);
        this.#heardMs = performance.now();
        return answer;
      } catch (error) {
        const { code } = asFarmError(error);
        const isPassing = ["unreachable", "exhausted", "deadline"].includes(code);
        const silenceMs = performance.now() - Math.max(sinceMs, this.#heardMs);
        if (!isPassing || silenceMs > SILENCE_MS_MAX) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** The job's end, seen through whoever leads then. */
  ended(jobId: string): Promise<JobView> {
    return this.#watch(jobId, (following) => following.end());
  }

  /** The job as it is when the condition holds. */
  until(jobId: string, condition: (job: JobView) => boolean): Promise<JobView> {
    return this.#watch(jobId, (following) => following.until(condition));
  }

  #watch<A>(jobId: string, wait: (following: Following) => Promise<A>): Promise<A> {
    return this.insist((client) => wait(new Following(this.#states(client, jobId))));
  }

  /** Ends by "cancelled" when nothing is heard of a job for too long, however long it takes. */
  async *#states(client: FarmClient, jobId: string): AsyncGenerator<JobView> {
    const stop = new AbortController();
    const silence = setTimeout(() => stop.abort(), SILENCE_MS_MAX).unref();
    try {
      for await (const job of client.watchJob(jobId, stop.signal)) {
        silence.refresh();
        this.#heardMs = performance.now();
        yield job;
      }
    } finally {
      clearTimeout(silence);
    }
  }

  logOf({ logPath }: Member): string {
    return this.#lastWords.get(logPath) ?? readFileSync(logPath, "utf8");
  }

  explainFailure(): void {
    onTestFailed(() => {
      for (const member of [...this.coordinators, ...this.nodes]) {
        const lines = this.logOf(member).trimEnd().split("\n").slice(-LOG_LINES_SHOWN);
        console.error([`-- ${member.name}`, ...lines.map((l) => l.slice(0, 300))].join("\n"));
      }
      console.error(`-- nats-server\n${this.server.output.split("\n").slice(-10).join("\n")}`);
    });
  }

  async stop(): Promise<void> {
    const members = [...this.nodes, ...this.coordinators];
    for (const { process: each } of members) {
      if (!each.hasEnded && each.pid) process.kill(each.pid, "SIGCONT");
    }
    await Promise.all(this.nodes.map((node) => node.process.stop()));
    await Promise.all(this.coordinators.map((coordinator) => coordinator.process.stop()));
    for (const { client } of this.coordinators) client.close();
    this.#client?.close();
    await Promise.all(members.map(({ broker }) => broker.stop()));
    await Promise.all(this.servers.map((server) => server.close()));
    for (const member of members) this.#lastWords.set(member.logPath, this.logOf(member));
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #blobsUrl(): string {
    return this.#store ? s3Url(this.#store) : `file:${this.folder}/blobs`;
  }

  #reachedBy(broker: TcpProxy): string {
    const addresses = this.servers.map(({ address }) => address);
    return addresses.length === 1 ? broker.address : addresses.join(",");
  }

  #launch(
    name: string,
    entry: "coordinator" | "gpu-node",
    args: readonly string[],
    onMessage: (message: unknown) => void = () => {},
  ): FarmProcess {
    const role: NatsRole = entry === "coordinator" ? "coordinator" : "node";
    const env = {
      RENDERFARM_NATS_NKEY_SEED: this.server.seedOf(role),
      ...(this.#store && s3Variables(this.#store, entry)),
    };
    const logPath = this.#logPath(name);
    return new FarmProcess({ name, entry, args, logPath, env, readyMs: READY_MS, onMessage });
  }

  #logPath(name: string): string {
    return join(this.folder, `${name}.log`);
  }
}
