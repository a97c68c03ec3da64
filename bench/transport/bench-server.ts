/** @file A nats-server for a benchmark: loopback, without TLS or users, writes synced. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../shared/adapters/clock/system-clock.js";
import { NatsClient } from "../../shared/adapters/nats/nats-client.js";
import type { NatsRole } from "../../shared/adapters/nats/nats-names.js";
import { silentLog } from "../../shared/ports/log.js";
import { freePort } from "../../test/servers/free-ports.js";
import { root } from "../subjects.js";

export class BenchServer {
  readonly address: string;
  readonly folder: string;
  readonly #process: ChildProcess;

  private constructor(address: string, folder: string, process: ChildProcess) {
    this.address = address;
    this.folder = folder;
    this.#process = process;
  }

  /** @throws Error when there is no nats-server and none can be installed */
  static async start(): Promise<BenchServer> {
    const installer = join(root, "scripts", "servers", "install.mjs");
    const found = JSON.parse(
      execFileSync(process.execPath, [installer, "nats-server"], { encoding: "utf8" }),
    ) as { "nats-server": { path: string } };
    const folder = mkdtempSync(join(tmpdir(), "renderfarm-bench-nats-"));
    const port = await freePort();
    const config = {
      host: "127.0.0.1",
      port,
      max_payload: 8_388_608,
      jetstream: { store_dir: join(folder, "store"), sync_interval: "always" },
    };
    writeFileSync(join(folder, "nats.conf"), JSON.stringify(config));
    const args = ["-c", join(folder, "nats.conf")];
    const child = spawn(found["nats-server"].path, args, { stdio: "ignore" });
    const server = new BenchServer(`127.0.0.1:${port}`, folder, child);
    await (await server.connect("observer")).close();
    return server;
  }

  connect(role: NatsRole, address = this.address): Promise<NatsClient> {
    const settings = { servers: [address], role, seed: null, tls: null, name: "bench" };
    return NatsClient.connect(settings, { clock: systemClock, log: silentLog });
  }

  async stop(): Promise<void> {
    const exited = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await exited;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
