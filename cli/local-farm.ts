/**
 * @file A farm on this machine: a coordinator and its nodes as processes of their own, with their
 * data in one folder. Nothing of it is left after `stop`, nor after this process ends.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FarmClient } from "../client/farm-client.js";
import { FarmError } from "../shared/core/errors.js";
import { FarmProcess, type FarmProcessOptions } from "./farm-process.js";
import { RestartDelay } from "./restart-delay.js";

export interface LocalFarmOptions {
  readonly checkpoint: string;
  /** Which of the checkpoint's files: "auto", "fp32", "fp16". */
  readonly variant: string;
  readonly nodeCount: number;
  /** Threads of each node; null: the cores, shared equally. */
  readonly threads: number | null;
  /** What runs the graphs; absent: the processor. */
  readonly provider?: string;
  /** What graphs compute in; absent: "auto". */
  readonly dtype?: string;
  /** Whether nodes keep the models of one stage only. */
  readonly offload?: boolean;
  /** Frames that feed-forward networks compute at a time; null, absent: as the provider likes it. */
  readonly forwardChunkSize?: number | null;
  /** host:port of the coordinator; port 0 takes a free one. */
  readonly listen: string;
  /** host:port of its console and JSON gateway; absent: neither. */
  readonly http?: string;
  /** Whether the processes' logs go to stderr; else they are kept, and shown when one fails. */
  readonly verbose: boolean;
  /** Hears what a user should know, line by line. */
  readonly onNote: (line: string) => void;
  /** Whether a node that ends is started again, once the farm was up; not unless told. */
  readonly restartsNodes?: boolean;
  readonly signal: AbortSignal;
}

export interface LocalFarm {
  /** host:port of the coordinator. */
  readonly address: string;
  /** host:port of its console and JSON gateway, "" without them. */
  readonly httpAddress: string;
  /** Rejects when the farm cannot go on: its coordinator has ended, or its last node for good. */
  readonly broken: Promise<never>;
  /**
   * Ends every process and removes the folder.
   *
   * @param nodesMs how long the nodes may take to end or give back their work before they are killed;
   *   5 s unless told
   */
  stop(nodesMs?: number): Promise<void>;
}

const COORDINATOR_READY_MS = 30_000;
/** A node reads every byte of the checkpoint before it is ready. */
const NODE_READY_MS = 600_000;
const JOIN_MS = 30_000;
const JOIN_POLL_MS = 20;

/**
 * Starts a farm and waits until every node has joined.
 *
 * @throws FarmError as its processes say, e.g. "checkpoint-invalid"; "cancelled" after an abort
 */
export async function startLocalFarm(options: LocalFarmOptions): Promise<LocalFarm> {
  const farm = new ProcessFarm(options);
  try {
    await farm.start();
    return farm;
  } catch (error) {
    await farm.stop();
    throw error;
  }
}

class ProcessFarm implements LocalFarm {
  address = "";
  httpAddress = "";
  readonly broken: Promise<never>;
  readonly #options: LocalFarmOptions;
  readonly #folder: string;
  /** By their place, the latest process of each. */
  readonly #nodes: FarmProcess[] = [];
  readonly #restarts: { timer: NodeJS.Timeout | null; readonly delay: RestartDelay }[] = [];
  #isUp = false;
  #coordinator: FarmProcess | null = null;
  #isStopping = false;
  #break: (error: FarmError) => void = () => {};

  constructor(options: LocalFarmOptions) {
    this.#options = options;
    this.#folder = mkdtempSync(join(tmpdir(), "renderfarm-"));
    this.broken = new Promise((_resolve, reject) => {
      this.#break = reject;
    });
    this.broken.catch(() => {}); // nobody may be waiting yet
    process.on("exit", this.#leaveNothing);
  }

  async start(): Promise<void> {
    const { nodeCount, listen, http, signal } = this.#options;
    const aborted = onAbort(signal);
    const coordinator = this.#launch("coordinator", "coordinator", COORDINATOR_READY_MS, [
      ...["--listen", listen, "--data", this.#folder],
      ...(http === undefined ? [] : ["--http", http]),
    ]);
    this.#coordinator = coordinator;
    const { address, httpAddress } = await Promise.race([coordinator.ready, aborted]);
    this.address = address;
    this.httpAddress = httpAddress;

    for (let i = 0; i < nodeCount; i++) {
      this.#restarts.push({ timer: null, delay: new RestartDelay() });
      this.#launchNode(i);
    }
    await Promise.race([this.#joined(), this.broken, aborted]);
    this.#isUp = true;
  }

  async stop(nodesMs?: number): Promise<void> {
    this.#isStopping = true;
    for (const { timer } of this.#restarts) clearTimeout(timer ?? undefined);
    await Promise.all(this.#nodes.map((node) => node.stop(nodesMs)));
    await this.#coordinator?.stop();
    process.off("exit", this.#leaveNothing);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #launchNode(place: number): void {
    const {
      checkpoint,
      variant,
      nodeCount,
      provider = "cpu",
      dtype = "auto",
      offload,
      forwardChunkSize = null,
    } = this.#options;
    const name = `node-${place + 1}`;
    const threads = this.#options.threads ?? threadsPerNode(nodeCount);
    this.#restarts[place]!.delay.started(performance.now());
    this.#nodes[place] = this.#launch(name, "gpu-node", NODE_READY_MS, [
      ...["--coordinator", this.address, "--checkpoint", checkpoint, "--variant", variant],
      ...["--blob-dir", join(this.#folder, "blobs"), "--node-id", name],
      ...["--threads", String(threads), "--provider", provider, "--dtype", dtype],
      ...(offload === true ? ["--offload"] : []),
      ...(forwardChunkSize === null ? [] : ["--forward-chunk-size", `${forwardChunkSize}`]),
    ]);
  }

  #launch(
    name: string,
    entry: FarmProcessOptions["entry"],
    readyMs: number,
    args: readonly string[],
  ): FarmProcess {
    const logPath = this.#options.verbose ? null : join(this.#folder, `${name}.log`);
    const started = new FarmProcess({ name, entry, args, logPath, readyMs });
    void started.ended.then((how) => this.#onEnd(started, how));
    return started;
  }

  /** Every node is ready, and the coordinator knows it. */
  async #joined(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.ready));
    const client = new FarmClient(this.address);
    try {
      const deadlineMs = Date.now() + JOIN_MS;
      for (;;) {
        const { nodes } = await client.getFarm();
        const alive = this.#nodes.filter((node) => !node.hasEnded);
        if (nodes.length >= alive.length) return;
        if (Date.now() > deadlineMs) {
          const detail = `only ${nodes.length} of ${alive.length} nodes joined in ${JOIN_MS / 1000} s`;
          throw new FarmError("runtime-failed", detail);
        }
        await sleep(JOIN_POLL_MS);
      }
    } finally {
      client.close();
    }
  }

  #onEnd(ended: FarmProcess, how: string): void {
    if (this.#isStopping) return;
    const { onNote } = this.#options;
    ended.complaints().forEach(onNote);
    if (ended === this.#coordinator) {
      this.#break(new FarmError("runtime-failed", `the coordinator ended (${how})`));
      return;
    }
    if (this.#isUp && this.#options.restartsNodes === true) {
      this.#restart(this.#nodes.indexOf(ended), how);
      return;
    }
    const left = this.#nodes.filter((node) => !node.hasEnded).length;
    const rest = left === 1 ? "1 node goes on" : `${left} nodes go on`;
    if (left > 0) onNote(`${ended.name} ended (${how}); ${rest}`);
    else this.#break(new FarmError("runtime-failed", `every node has ended, the last by ${how}`));
  }

  #restart(place: number, how: string): void {
    const restart = this.#restarts[place]!;
    const delayMs = restart.delay.ended(performance.now());
    const { name } = this.#nodes[place]!;
    this.#options.onNote(`${name} ended (${how}); starting it again in ${delayMs / 1000} s`);
    restart.timer = setTimeout(() => {
      this.#launchNode(place);
      const back = () => this.#options.onNote(`${name} is back`);
      // One that ends before it is ready is heard of as every other one that ends.
      this.#nodes[place]!.ready.then(back, () => {});
    }, delayMs);
  }

  /** This process ends without `stop`, as after a second Ctrl-C. */
  readonly #leaveNothing = (): void => {
    for (const each of [...this.#nodes, this.#coordinator]) each?.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  };
}

/** Several pools of threads on one core starve each other, so the cores are shared out. */
function threadsPerNode(nodeCount: number): number {
  return Math.max(1, Math.floor(availableParallelism() / nodeCount));
}

function onAbort(signal: AbortSignal): Promise<never> {
  const aborted = new Promise<never>((_resolve, reject) => {
    const abort = () => reject(new FarmError("cancelled", "interrupted"));
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
  });
  aborted.catch(() => {}); // may reject long after the farm has started
  return aborted;
}
