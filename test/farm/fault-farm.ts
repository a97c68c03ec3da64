/**
 * @file Farms for tests of faults: every way between two of its processes leads through a proxy, and
 * every process can be killed, started again, and made to die at a place of our choice.
 *
 * `sharedFarm` is for the tests of a file that start no farm of their own.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  expect,
  onTestFailed,
  onTestFinished,
  vi,
} from "vitest";
import { FarmProcess } from "../../cli/farm-process.js";
import { FarmClient } from "../../client/farm-client.js";
import { JOB_OPTIONS_DEFAULT, type JobOptions, type JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import {
  CHECKPOINT,
  CLIP,
  type FileHashes,
  Following,
  makeScratch,
  PICTURE,
  removeEmpty,
} from "./farm-harness.js";
import { logEntries } from "./log-entries.js";
import { descendantsOf, waitUntilGone } from "./processes.js";
import { folderStore, publishedOnce } from "./published.js";
import type { Room } from "./room.js";
import { TcpProxy } from "./tcp-proxy.js";

/** A coordinator with 10,000 jobs needs a few seconds, a node reads its checkpoint first. */
const READY_MS = 60_000;
/** A test that hears nothing for this long has failed. */
const SILENCE_MS_MAX = 60_000;
/** From a cut to the next welcome: the lease, the pause between two dials, and some. */
const JOIN_MS_MAX = 30_000;
const LOG_LINES_SHOWN = 15;
const LOG_COLUMNS_SHOWN = 400;

/** The tests of a file share one farm; it is whole again before each of them. */
export function sharedFarm(nodeCount: number): () => FaultFarm {
  let farm: FaultFarm | null = null;
  beforeAll(async () => {
    farm = await FaultFarm.start(nodeCount);
  }, READY_MS);
  beforeEach(() => farm?.explainFailure());
  afterEach(() => farm?.mended(), READY_MS);
  afterAll(() => farm?.stop(), READY_MS);
  return () => farm!;
}

export interface FaultNode {
  readonly nodeId: string;
  /** Between it and the coordinator. */
  readonly link: TcpProxy;
  /** Between its partners and its tensor bus. */
  readonly bus: TcpProxy;
  process: FarmProcess;
}

export interface DoomedCoordinator {
  readonly hasDied: () => boolean;
  /** Resolves when its successor is ready. */
  readonly replaced: Promise<void>;
}

export interface SubmitOptions {
  readonly requestId?: string;
  readonly options?: Partial<JobOptions>;
}

export interface NodeOptions {
  /** In place of the farm's blob folder. */
  readonly blobDir?: string;
  /** What its accelerator does wrong, as test/faulty-node says it. */
  readonly fault?: string;
}

export class FaultFarm {
  readonly client: FarmClient;
  /** What the coordinator keeps. */
  readonly data: string;
  readonly nodes = new Map<string, FaultNode>();
  /** Between clients and the coordinator. */
  readonly front: TcpProxy;
  coordinator: FarmProcess | null = null;
  /** Settings of the coordinators that are started from now on. */
  coordinatorEnv: Readonly<Record<string, string>> = {};
  /** Where its processes run; null: with us. */
  room: Room | null = null;
  readonly #scratch = makeScratch();
  readonly #pids = new Set<number>();
  readonly #stopping = new AbortController();

  private constructor(front: TcpProxy) {
    this.front = front;
    this.client = new FarmClient(front.address);
    this.data = join(this.#scratch, "data");
    mkdirSync(this.data);
  }

  /**
   * A coordinator and so many nodes, "node-1" first. Whoever starts it has to stop it.
   *
   * @param openRoom for all of its processes; it hears where the coordinator's data will be
   */
  static async start(
    nodeCount: number,
    openRoom: (data: string) => Promise<Room | null> = async () => null,
  ): Promise<FaultFarm> {
    const farm = new FaultFarm(await TcpProxy.start(null));
    try {
      farm.room = await openRoom(farm.data);
      await farm.startCoordinator();
      const nodeIds = Array.from({ length: nodeCount }, (_, i) => `node-${i + 1}`);
      await Promise.all(nodeIds.map((nodeId) => farm.startNode(nodeId)));
      await farm.nodesJoined(nodeCount);
      return farm;
    } catch (error) {
      farm.#printLogs();
      await farm.stop();
      throw error;
    }
  }

  /** Starts a coordinator on the data of the one before; clients and nodes are led to it. */
  async startCoordinator(): Promise<FarmProcess> {
    const started = this.#launchCoordinator("");
    await this.#lead(started);
    return started;
  }

  /**
   * Starts a coordinator that dies at a failpoint, and another one once it has, as a supervisor of
   * processes would.
   *
   * @param failpoint as RENDERFARM_FAILPOINT says it
   * @returns when the first one is ready, or the second one where it died before
   */
  async startDoomedCoordinator(failpoint: string): Promise<DoomedCoordinator> {
    const doomed = this.#launchCoordinator(failpoint);
    const replaced = doomed.ended.then(async (how) => {
      if (how === "exit code 137") await this.startCoordinator();
    });
    await this.#lead(doomed).catch((error: unknown) => {
      if (!doomed.hasEnded) throw error;
      return replaced;
    });
    return { hasDied: () => doomed.hasEnded, replaced };
  }

  /** kill -9; returns when it is gone. */
  async killCoordinator(): Promise<void> {
    this.coordinator?.kill();
    await this.coordinator?.ended;
  }

  /** Starts a node, or one that has ended once more, and waits until it is ready. */
  async startNode(nodeId: string, options: NodeOptions = {}): Promise<FaultNode> {
    const known = this.nodes.get(nodeId);
    const link = known?.link ?? (await TcpProxy.start(this.front.target));
    const bus = known?.bus ?? (await TcpProxy.start(null));
    const logPath = this.#logPath(nodeId);
    const from = known ? readFileSync(logPath, "utf8").length : 0;
    const args = ["--coordinator", link.address, "--bus-advertise", bus.address];
    const { blobDir = join(this.data, "blobs"), fault } = options;
    args.push("--checkpoint", CHECKPOINT, "--blob-dir", blobDir, "--node-id", nodeId);
    args.push("--metrics", "127.0.0.1:0");
    const started =
      fault === undefined
        ? this.#launch(nodeId, "gpu-node", args)
        : this.#launch(nodeId, "test/faulty-node", args, { RENDERFARM_TEST_FAULT: fault });
    const node = known ?? { nodeId, link, bus, process: started };
    node.process = started;
    this.nodes.set(nodeId, node);
    await started.ready;
    const ready = logEntries(readFileSync(logPath, "utf8").slice(from)).find((e) => e["bus"]);
    bus.target = String(ready?.["bus"]);
    return node;
  }

  /** Ends a node that was started for one test only, in good order. */
  async removeNode(nodeId: string): Promise<void> {
    const { process: each, link, bus } = this.node(nodeId);
    await each.stop();
    await Promise.all([link.stop(), bus.stop()]);
    this.nodes.delete(nodeId);
    rmSync(this.#logPath(nodeId));
  }

  node(nodeId: string): FaultNode {
    const node = this.nodes.get(nodeId);
    if (!node) throw new Error(`no ${nodeId}`);
    return node;
  }

  /** What a node, or "coordinator", has logged, of all its starts. */
  logOf(nodeId: string): Record<string, unknown>[] {
    return logEntries(readFileSync(this.#logPath(nodeId), "utf8"));
  }

  /**
   * What the port for machines of a process says, e.g. "/readyz".
   *
   * @param name of a node, or "coordinator"
   */
  async probe(name: string, path: string): Promise<{ status: number; text: string }> {
    const answer = await fetch(`http://${this.portForMachines(name)}${path}`);
    return { status: answer.status, text: await answer.text() };
  }

  /** host:port of metrics and probes of a node, or of "coordinator". */
  portForMachines(name: string): string {
    return String(this.logOf(name).findLast((entry) => entry["metrics"])?.["metrics"]);
  }

  /** The runtime child of a node. */
  runtimePid(nodeId: string): number {
    const pids = this.runtimePids(nodeId);
    expect(pids, `the runtime child of ${nodeId}`).toHaveLength(1);
    return pids[0]!;
  }

  /** None while a new one is being started. */
  runtimePids(nodeId: string): number[] {
    return descendantsOf(this.node(nodeId).process.pid!).map(({ pid }) => pid);
  }

  /** The node that was given a task last. */
  workerOf(taskId: string): string | undefined {
    const given = [...this.nodes.keys()].flatMap((nodeId) =>
      this.logOf(nodeId)
        .filter((entry) => entry["msg"] === "task assigned" && entry["task_id"] === taskId)
        .map((entry) => ({ nodeId, epoch: Number(entry["epoch"]) })),
    );
    return given.sort((a, b) => b.epoch - a.epoch)[0]?.nodeId;
  }

  /** Starts one of our programs, with its log kept. */
  #launch(
    name: string,
    entry: "coordinator" | "gpu-node" | "test/faulty-node",
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): FarmProcess {
    const own = { ...env, TMPDIR: this.#scratch };
    const logPath = this.#logPath(name);
    const launcher = this.room?.launcher ?? [];
    return new FarmProcess({ name, entry, args, launcher, logPath, env: own, readyMs: READY_MS });
  }

  /** Sends a job of the test picture. */
  async submit(
    parameters: Partial<JobParameters> = {},
    { requestId = randomUUID(), options = {} }: SubmitOptions = {},
  ): Promise<JobView> {
    const image = await this.client.upload(readFileSync(PICTURE));
    return this.client.createJob({
      images: [image],
      parameters: { ...CLIP, ...parameters },
      modelDigest: "",
      requestId,
      options: { ...JOB_OPTIONS_DEFAULT, ...options },
    });
  }

  /** Sends a job and waits for its end. */
  async render(parameters: Partial<JobParameters> = {}, options?: SubmitOptions): Promise<JobView> {
    return this.follow((await this.submit(parameters, options)).jobId).end();
  }

  follow(jobId: string, msMax = SILENCE_MS_MAX): Following {
    const signals = [this.#stopping.signal, AbortSignal.timeout(msMax)];
    return new Following(this.client.watchJob(jobId, AbortSignal.any(signals)));
  }

  /** Waits until the coordinator counts on exactly these many nodes. */
  async nodesJoined(count: number): Promise<void> {
    const connected = async () => {
      const nodes = await this.client.getFarm().then(
        (farm) => farm.nodes,
        () => [],
      );
      return nodes.filter((node) => node.connected).length;
    };
    await vi.waitFor(async () => expect(await connected()).toBe(count), { timeout: JOIN_MS_MAX });
  }

  /** Heals every proxy, starts what has ended, and forgets what the farm remembers of its nodes. */
  async mended(): Promise<void> {
    for (const proxy of this.#proxies()) proxy.heal();
    if (!this.coordinator || this.coordinator.hasEnded) await this.startCoordinator();
    for (const { nodeId, process: each } of this.nodes.values()) {
      if (each.hasEnded) await this.startNode(nodeId);
    }
    await this.nodesJoined(this.nodes.size);
    for (const nodeId of this.nodes.keys()) await this.client.undrainNode(nodeId);
  }

  /**
   * A clip that has ended well was published once, its manifest names what the job names, and all of
   * that lies in the store.
   *
   * @returns sha256 by file name
   */
  async published(job: JobView, clipIndex = 0): Promise<FileHashes> {
    return publishedOnce(await folderStore(join(this.data, "blobs")), job, clipIndex);
  }

  /** Shows the last log lines of every process when the test that calls this fails. */
  explainFailure(): void {
    onTestFailed(() => this.#printLogs());
  }

  /** For a farm of one test: ends it with the test, and shows its logs when that has failed. */
  stopWithTest(): void {
    onTestFinished(async ({ task }) => {
      if (task.result?.state === "fail") this.#printLogs();
      await this.stop();
    });
  }

  /** Ends the farm; fails when a process or a file of it is left. */
  async stop(): Promise<void> {
    const mine = descendantsOf(process.pid);
    const agents = mine.filter((p) => p.command.includes(this.#scratch));
    const children = mine.filter((p) => agents.some((a) => a.pid === p.parentPid));
    for (const { pid } of [...agents, ...children]) this.#pids.add(pid);
    this.#stopping.abort();
    this.client.close();
    const nodes = [...this.nodes.values()];
    for (const { process: each } of nodes) if (!each.hasEnded) wake(each);
    await Promise.all(nodes.map((node) => node.process.stop()));
    if (this.coordinator && !this.coordinator.hasEnded) wake(this.coordinator);
    await this.coordinator?.stop();
    await Promise.all(this.#proxies().map((proxy) => proxy.stop()));
    await waitUntilGone(({ pid }) => this.#pids.has(pid));
    await this.room?.close();
    rmSync(this.data, { recursive: true, force: true });
    for (const name of ["coordinator", ...this.nodes.keys()]) rmSync(this.#logPath(name));
    removeEmpty(this.#scratch);
  }

  #launchCoordinator(failpoint: string): FarmProcess {
    const ports = ["--listen", "--http", "--metrics"].flatMap((flag) => [flag, "127.0.0.1:0"]);
    const args = ["--data", this.data, ...ports];
    const env = { ...this.coordinatorEnv, RENDERFARM_FAILPOINT: failpoint };
    this.coordinator = this.#launch("coordinator", "coordinator", args, env);
    return this.coordinator;
  }

  async #lead(coordinator: FarmProcess): Promise<void> {
    const { address } = await coordinator.ready;
    for (const proxy of [this.front, ...[...this.nodes.values()].map((node) => node.link)]) {
      proxy.target = address;
    }
  }

  #proxies(): TcpProxy[] {
    return [this.front, ...[...this.nodes.values()].flatMap(({ link, bus }) => [link, bus])];
  }

  #logPath(name: string): string {
    return join(this.#scratch, `${name}.log`);
  }

  #printLogs(): void {
    for (const name of ["coordinator", ...this.nodes.keys()]) {
      const lines = readFileSync(this.#logPath(name), "utf8").trimEnd().split("\n");
      const last = lines.slice(-LOG_LINES_SHOWN).map((line) => line.slice(0, LOG_COLUMNS_SHOWN));
      console.error([`-- ${name}`, ...last].join("\n"));
    }
  }
}

/** Lets a process go that was stopped by a signal: it could not end in order. */
function wake(stopped: FarmProcess): void {
  process.kill(stopped.pid!, "SIGCONT");
}
