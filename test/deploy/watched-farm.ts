/** @file A farm of two processes besides its coordinator, and a real Prometheus that scrapes them. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FarmProcess } from "../../cli/farm-process.js";
import { FarmClient } from "../../client/farm-client.js";
import { CHECKPOINT } from "../farm/farm-harness.js";
import { freePort } from "../servers/free-ports.js";

const READY_MS = 60_000;
const RULES = fileURLToPath(new URL("../../deploy/prometheus/rules.yaml", import.meta.url));

/** host:port of the metrics of each process, by its name. */
type Targets = Readonly<Record<string, string>>;

export class WatchedFarm {
  readonly client: FarmClient;
  readonly targets: Targets;
  readonly #processes: readonly FarmProcess[];
  readonly #folder: string;

  private constructor(
    client: FarmClient,
    targets: Targets,
    processes: readonly FarmProcess[],
    folder: string,
  ) {
    this.client = client;
    this.targets = targets;
    this.#processes = processes;
    this.#folder = folder;
  }

  static async start(): Promise<WatchedFarm> {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), "watched-")));
    const targets: Record<string, string> = {};
    const launch = (name: string, entry: string, args: readonly string[]) =>
      new FarmProcess({
        ...{ name, entry, readyMs: READY_MS, logPath: join(folder, `${name}.log`) },
        args: [...args, "--metrics", "127.0.0.1:0"],
        onMessage: (message) => {
          targets[name] = (message as { metrics?: string }).metrics ?? "";
        },
      });
    const own = ["--listen", "127.0.0.1:0", "--data", folder];
    const coordinator = launch("coordinator", "coordinator", own);
    const { address } = await coordinator.ready;
    const nodes = ["node-1", "node-2"].map((id) =>
      launch(id, "gpu-node", [
        ...["--coordinator", address, "--checkpoint", CHECKPOINT, "--node-id", id],
        ...["--blobs", `file:${join(folder, "blobs")}`],
      ]),
    );
    await Promise.all(nodes.map((node) => node.ready));
    return new WatchedFarm(new FarmClient(address), targets, [coordinator, ...nodes], folder);
  }

  /** The text of one process's metrics. */
  async scrape(name: string): Promise<string> {
    return (await fetch(`http://${this.targets[name]}/metrics`)).text();
  }

  async stop(): Promise<void> {
    this.client.close();
    await Promise.all([...this.#processes].reverse().map((each) => each.stop()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export class Prometheus {
  readonly #process: ChildProcess;
  readonly #address: string;
  readonly #folder: string;

  private constructor(process: ChildProcess, address: string, folder: string) {
    this.#process = process;
    this.#address = address;
    this.#folder = folder;
  }

  /** Scrapes the targets every second, with the farm's own rules. */
  static async start(program: string, targets: Targets): Promise<Prometheus> {
    const folder = mkdtempSync(join(tmpdir(), "prometheus-"));
    const address = `127.0.0.1:${await freePort()}`;
    const config = {
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: [RULES],
      scrape_configs: [
        { job_name: "renderfarm", static_configs: [{ targets: Object.values(targets) }] },
      ],
    };
    writeFileSync(join(folder, "prometheus.yml"), JSON.stringify(config));
    const child = spawn(
      program,
      [
        `--config.file=${join(folder, "prometheus.yml")}`,
        `--storage.tsdb.path=${join(folder, "data")}`,
        `--web.listen-address=${address}`,
      ],
      { stdio: "ignore" },
    );
    return new Prometheus(child, address, folder);
  }

  /** Finite values that a query has now; none while it does not answer yet. */
  async values(expr: string): Promise<number[]> {
    const query = new URLSearchParams({ query: expr });
    const answer = await fetch(`http://${this.#address}/api/v1/query?${query}`).catch(() => null);
    if (answer?.status === 400) throw new Error(`${expr}: ${await answer.text()}`);
    if (!answer?.ok) return [];
    const { data } = (await answer.json()) as {
      data: { result: readonly { readonly value: readonly [number, string] }[] };
    };
    return data.result.map(({ value }) => Number(value[1])).filter(Number.isFinite);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    await ended;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export function readText(path: string): string {
  return readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8");
}
